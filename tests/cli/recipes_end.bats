#!/usr/bin/env bats
# quickstart.sh and relay-pipeline.sh with the real programs, told to end as people, supervisors and
# terminals do it: what was trained is saved. pipeline.sh is in how_it_ends.bats.
# shellcheck disable=SC2030,SC2031  # bats runs each test in a process of its own

load helper
load tiny_job

setup_file() { tiny_data "$BATS_FILE_TMPDIR"; }

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  # A copy that is installed comes with its programs: nothing is built.
  cp -r "$RECIPES" recipes
  cp -r "$BATS_FILE_TMPDIR/data" "$BATS_FILE_TMPDIR/job.toml" .
}

teardown() {
  local pid
  for pid in $(jobs -p); do kill -KILL -- "-$pid" "$pid" 2>/dev/null || true; done
}

# A job of steps without end, whose first checkpoint is the last one.
LONG=(--set train.steps=1000000 --set optim.schedule=constant --set checkpoint.every=1000000)

# begin RECIPE [OPTION]...: in the background, in a process group of its own, as $run, until it trains
begin() {
  rm -rf out
  setsid env --default-signal=INT "recipes/$1" --out out "${LONG[@]}" "${@:2}" >printed 2>said 3>&- &
  run=$!
  eventually 300 steps_done out/metrics.jsonl 20
}

# saved: all that was trained, by whoever is left of it
saved() {
  local trained
  trained=$(jq -s 'map(.step // 0) | max' out/metrics.jsonl)
  [ -f "out/ckpt/$(printf 'step-%08d' "$trained")/manifest.json" ]
}

# ends CODE: within ten seconds, and many for a busy machine, and all is saved
ends() {
  local code=0 begun=$SECONDS
  wait "$run" || code=$?
  cat said
  [[ $code == "$1" ]] || { echo "code $code, expected $1"; return 1; }
  ((SECONDS - begun <= 60))
  saved
}

# processes PID: it and all that it has started
processes() {
  local child
  echo "$1"
  for child in $(pgrep -P "$1"); do processes "$child"; done
}

# each SIGNAL: to each process by itself, twice, as some supervisors do
each() {
  local pid
  for _ in 1 2; do
    for pid in $(processes "$run"); do kill -s "$1" "$pid" 2>/dev/null || true; done
    sleep 0.1
  done
}

small() { begin quickstart.sh --set model.hidden_size=48 --set model.num_hidden_layers=4 --set data.seq_len=64; }

@test "quickstart.sh saves what was trained, whoever is told to end, and how" {
  small
  kill -TERM -- "-$run"
  ends 143
  small
  kill -HUP -- "-$run"
  ends 129
  small
  each TERM
  ends 143
}

@test "quickstart.sh, killed, leaves no run behind that nobody watches, and what was trained is saved" {
  small
  local -a all
  mapfile -t all < <(processes "$run")
  kill -KILL "$run"
  wait "$run" || [ "$?" -eq 137 ]
  eventually 60 gone "${all[@]:1}"
  saved
}

@test "Ctrl-C in quickstart.sh saves what was trained" {
  expect 130 "$ROOT/tests/cli/on_terminal.py" 'holds:out/metrics.jsonl:"kind":"step"' 'type:^C' -- \
    recipes/quickstart.sh --out out "${LONG[@]}" --set model.hidden_size=48 \
    --set model.num_hidden_layers=4 --set data.seq_len=64
  saved
}

@test "relay-pipeline.sh saves what was trained, whoever is told to end" {
  begin relay-pipeline.sh --job job.toml --stages 2 --threads 1
  kill -HUP -- "-$run"
  ends 129
  begin relay-pipeline.sh --job job.toml --stages 2 --threads 1
  each TERM
  ends 143
}
