#!/usr/bin/env bats
# recipes/slurm under a real slurmctld with two nodes, which are two slurmd on this machine.
# shellcheck disable=SC2030,SC2031,SC2154  # bats runs each test in a process of its own, and sets stderr

load ../cli/helper
load ../cli/tiny_job
load free_port
load slurm_cluster

setup_file() {
  cd "$BATS_FILE_TMPDIR" || return
  tiny_data "$PWD"
  export slurm_daemons=''
  local name
  for name in munged slurmctld slurmd; do
    if ! slurm_daemon "$name" >/dev/null; then
      skip "$name is not installed, and this system has no package of it (recipes/install-deps.sh test)"
    fi
  done
  start_slurm "$PWD/slurm" "$(free_port)"
  weights 1 --set lanes.count=2 --set batch.micro=2 >alone
}

teardown_file() { stop_slurm; }

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  ln -s "$BATS_FILE_TMPDIR"/{data,job.toml} .
  port=$(free_port)
}

# submit [OPTION]...: four tasks on two nodes; its number is in $job
submit() {
  job=$(sbatch --parsable --nodes=2 --ntasks-per-node=2 --output=batch.out "$RECIPES/slurm/train.sbatch" \
    --job job.toml --stages 2 --out out --threads 1 --port "$port" --set batch.micro=2 "$@")
}

job_field() { scontrol show job "$job" | grep -oE "\b$1=[^ ]*" | cut -d = -f 2; }
has_ended() { [[ $(job_field JobState) == [A-Z]*ED ]]; }

# ends STATE CODE
ends() {
  eventually 60 has_ended
  [[ $(job_field JobState) == "$1" && $(job_field ExitCode) == "$2" ]] ||
    { scontrol show job "$job"; cat batch.out; return 1; }
}

@test "four cells on two nodes train to the weights of one process" {
  submit
  eventually 60 steps_done out/metrics.jsonl 1
  [ "$(squeue --steps --noheader --format '%j %N' --jobs "$job" | grep -c '^stage-.-lane-. \(one\|two\)$')" -le 4 ]
  ends COMPLETED 0:0
  [ "$(jq -r .weights_sha256 out/result.json)" = "$(<"$BATS_FILE_TMPDIR/alone")" ]
  jq -es 'map(select(.kind == "step")) | length == 20' out/stage-1-lane-1.metrics.jsonl
  grep -q 'allocation.sh: done: step 20' batch.out
}

@test "scancel lets the processes save, and the same command goes on" {
  submit --set train.steps=1000000 --set optim.schedule=constant --set checkpoint.every=1000000
  eventually 60 steps_done out/metrics.jsonl 5
  scancel "$job"
  ends CANCELLED 143:0
  local trained
  trained=$(jq -s 'map(.step // 0) | max' out/metrics.jsonl)
  [ -f "out/ckpt/$(printf 'step-%08d' "$trained")/manifest.json" ]
  grep -q "stopped; the same command goes on from step $trained" batch.out
  submit --set train.steps=$((trained + 3)) --set optim.schedule=constant
  ends COMPLETED 0:0
  jq -es "map(select(.kind == \"step\").step) == [range(1; $((trained + 4)))]" out/metrics.jsonl
}

@test "the process that failed gives the job its code, and the others are ended" {
  submit --set train.steps=1000000 --set optim.schedule=constant
  eventually 60 steps_done out/metrics.jsonl 3
  kill -KILL "$(pgrep -f "^[^ ]*ptrain-stage run .*--cell 1,0 .*--metrics $PWD/out/")"
  ends FAILED 137:0
  grep -q 'stage 1, lane 0 was ended by SIGKILL' batch.out
  [ -z "$(squeue --noheader)" ]
}

@test "what does not fit an allocation is refused" {
  expect 69 "$RECIPES/slurm/allocation.sh" --job job.toml --out out
  says 'this is no allocation of Slurm'
  expect 2 salloc --quiet --ntasks=3 "$RECIPES/slurm/allocation.sh" --job job.toml --stages 2 --lanes 2 --out out
  says '2 stages in 2 lanes need more than the 3 tasks of this allocation'
  expect 0 "$RECIPES/slurm/allocation.sh" --help
  expect 2 "$RECIPES/slurm/allocation.sh" --no-such-option
}
