#!/usr/bin/env bats
# The table HOW IT ENDS of ptrain(7), row by row: each test is named after a row, ends a run in that
# way, and checks the row's code and what is saved.
# shellcheck disable=SC2030,SC2031,SC2154  # bats runs each test in a process of its own, and sets stderr

load helper
load tiny_job

setup_file() { tiny_data "$BATS_FILE_TMPDIR"; }

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  ln -s "$BATS_FILE_TMPDIR/data" data
  cp "$BATS_FILE_TMPDIR/job.toml" .
}

teardown() {
  local pid
  for pid in $(jobs -p); do kill -KILL "$pid" 2>/dev/null || true; done
}

# Cells of the table, a row a line: what happens, what is saved, code
rows() {
  awk '/^# / { inside = $0 == "# HOW IT ENDS" }
    inside && /^\|  / { what = substr($0, 4); saved = "" }
    inside && /^:  / { if (saved == "") saved = substr($0, 4); else print what "\t" saved "\t" substr($0, 4) }' \
    "$ROOT/man/ptrain.7.scd"
}

# cell NUMBER: of this test's row
cell() { rows | awk -F '\t' -v name="$BATS_TEST_DESCRIPTION" -v number="$1" '$1 == name { print $number }'; }

# LONG trains until it is told to stop; SHORT comes to its end.
LONG=(--set train.steps=1000000 --set checkpoint.every=20 --set optim.schedule=constant)
# It takes some seconds, so that what a test does to it comes before that.
LAST=1500
SHORT=(--set train.steps="$LAST" --set checkpoint.every=50 --set optim.schedule=constant)

# recipe OPTION...: the recipe in the background, in a process group of its own, as $run, until it has
# saved something
recipe() {
  local -a prefix=()
  if [[ ${1-} == -- ]]; then prefix=("${@:2}"); set --; fi
  setsid env --default-signal=INT "${prefix[@]}" "$RECIPES/pipeline.sh" --job job.toml --stages 2 \
    --out out --threads 1 "${LONG[@]}" "$@" >printed 2>said 3>&- &
  run=$!
  eventually 180 steps_done out/metrics.jsonl 45
}

# alone OPTION...: one stage, which is all, in the background as $run, until it has saved something
# where it saves every 20 steps: a save waits for the one before
alone() {
  ptrain-stage run --job job.toml --threads 1 --metrics metrics --set checkpoint.dir=ckpt \
    "$@" >printed 2>said 3>&- &
  run=$!
  eventually 180 steps_done metrics 45
}

# ends [PID]: it ends with the row's code, within its ten seconds and many for a busy machine, or $within
ends() {
  local code=0 expected begun=$SECONDS
  expected=$(cell 3)
  wait "${1:-$run}" || code=$?
  cat said
  [[ $code == "$expected" ]] || { echo "code $code, expected $expected"; return 1; }
  ((SECONDS - begun <= ${within:-60}))
}

newest() { find "$1" -name manifest.json | sed 's|.*/step-0*\([0-9]*\)/.*|\1|' | sort -n | tail -n 1; }
trained() { jq -s 'map(.step // 0) | max' "$1"; }

# last_step_saved METRICS CKPT: all that was trained was saved
last_step_saved() {
  [[ $(cell 2) == "the last whole step"* ]]
  [[ $(newest "$2") == $(trained "$1") ]] || { echo "trained $(trained "$1"), saved $(newest "$2")"; return 1; }
}

# newest_stays METRICS CKPT: what was saved before is there, whole, and nothing half done beside it
newest_stays() {
  local step
  [[ $(cell 2) == "the newest checkpoint stays" || $(cell 2) == "the one before it stays" ]]
  step=$(newest "$2")
  [[ -n $step ]]
  (($(trained "$1") >= step))
  ptrain-ckpt verify --data "$2/latest"
}

stages_of() { pgrep -P "$run" -f ptrain-stage; }

@test "every row of the table has a test, and every test a row" {
  local tests
  tests=$(sed -n 's/^@test "\(.*\)" {$/\1/p' "$BATS_TEST_FILENAME" | tail -n +2 | sort)
  diff <(rows | cut -f 1 | sort) <(printf '%s\n' "$tests")
  [ "$(rows | wc -l)" -ge 20 ]
}

@test "SIGTERM, to one process or to all, once or often" {
  recipe
  kill -TERM -- "-$run"
  for _ in {1..5}; do kill -TERM -- "-$run" || true; sleep 0.05; done
  ends
  last_step_saved out/metrics.jsonl out/ckpt
}

@test "Ctrl-C, SIGINT" {
  expect 130 "$ROOT/tests/cli/on_terminal.py" file:out/ckpt/step-00000020/manifest.json 'type:^C' -- \
    "$RECIPES/pipeline.sh" --job job.toml --stages 2 --out out --threads 1 "${LONG[@]}"
  [ "$(cell 3)" = 130 ]
  last_step_saved out/metrics.jsonl out/ckpt
}

@test "Ctrl-C again, a second later" {
  recipe
  # A neighbour that is stopped cannot end the step, so there is something to insist on.
  kill -STOP "$(stages_of | tail -n 1)"
  kill -INT "$run"
  eventually 60 grep -q stopping said  # from when it has heard the first, it counts
  sleep 1.1
  local begun=$SECONDS
  kill -INT "$run"
  ends
  ((SECONDS - begun <= 10))  # before its patience with the stages ends
  newest_stays out/metrics.jsonl out/ckpt
}

@test "SIGHUP: a terminal that is closed, a session that drops" {
  "$ROOT/tests/cli/on_terminal.py" file:out/ckpt/step-00000020/manifest.json 'hang up' -- \
    "$RECIPES/pipeline.sh" --job job.toml --stages 2 --out out --threads 1 "${LONG[@]}" >said 2>&1 3>&- &
  run=$!
  eventually 180 test -f out/ckpt/step-00000020/manifest.json  # it takes its time to come there
  ends
  last_step_saved out/metrics.jsonl out/ckpt
}

@test "SIGHUP under nohup" {
  # Also where a library takes it over when it is loaded, as one of Debian 13's does.
  mkdir bin
  printf '#!/bin/sh\nexec env LD_PRELOAD=%q %q "$@"\n' "$(dirname "$PTRAIN_BIN")/tests/libtake_signals.so" \
    "$PTRAIN_BIN/ptrain-stage" >bin/ptrain-stage
  chmod +x bin/ptrain-stage
  export PTRAIN_BIN=$PWD/bin
  setsid nohup "$RECIPES/pipeline.sh" --job job.toml --stages 2 --out out --threads 1 "${SHORT[@]}" \
    >printed 2>said 3>&- &
  run=$!
  eventually 180 steps_done out/metrics.jsonl 20
  kill -HUP -- "-$run"
  within=300 ends
  [ "$(newest out/ckpt)" = "$LAST" ]
}

@test "Ctrl-Z and fg, SIGSTOP and SIGCONT, a computer that sleeps" {
  setsid "$RECIPES/pipeline.sh" --job job.toml --stages 2 --out out --threads 1 "${SHORT[@]}" \
    >printed 2>said 3>&- &
  run=$!
  eventually 180 steps_done out/metrics.jsonl 20
  kill -STOP -- "-$run"
  local before
  before=$(trained out/metrics.jsonl)
  sleep 2
  [ "$(trained out/metrics.jsonl)" = "$before" ]
  kill -CONT -- "-$run"
  within=300 ends
  [ "$(newest out/ckpt)" = "$LAST" ]
}

@test "SIGKILL of the recipe" {
  recipe
  local -a stages
  mapfile -t stages < <(stages_of)
  kill -KILL "$run"
  ends
  eventually 60 gone "${stages[@]}"
  last_step_saved out/metrics.jsonl out/ckpt
}

@test "SIGKILL of a stage, as the kernel does where memory is gone" {
  recipe
  kill -KILL "$(stages_of | tail -n 1)"
  ends
  grep -q 'said that it needs' said
  newest_stays out/metrics.jsonl out/ckpt
}

# pair OPTION...: both stages of a run, started by hand, as $first and $second
pair() {
  endpoints 2
  stage 0 --metrics metrics --set checkpoint.dir=ckpt "${LONG[@]}" "$@" >/dev/null 2>said 3>&- &
  first=$!
  stage 1 --set checkpoint.dir=ckpt "${LONG[@]}" "$@" >/dev/null 2>said-1 3>&- &
  second=$!
  eventually 180 steps_done metrics 45
}

@test "another stage is lost" {
  pair --reconnect-timeout 0.5
  kill -KILL "$second"
  ends "$first"
  newest_stays metrics ckpt
  # The last line says what the same command comes to.
  local step
  step=$(newest ckpt)
  tail -n 1 said | grep -E "hint: this stage has saved its share of step $(trained metrics): .* from step $step, and up to [0-9]+ steps?"
  expect 0 ptrain-stage run --job job.toml --threads 1 --set checkpoint.dir=ckpt "${LONG[@]}" \
    --set train.steps="$(($(trained metrics) + 1))"
  says "continuing the run in ckpt from step $step of"
}

@test "the link to another stage is lost, and all live" {
  over_proxy --reconnect-timeout 0.5 --outage-timeout 1 --set checkpoint.dir=ckpt "${LONG[@]}"
  # Then stage 0 waits for stage 1 in the midst of a step, and what it has told it has arrived.
  kill -STOP "$second"
  sleep 0.5
  stop_proxy
  kill -CONT "$second"
  ends "$first"
  ends "$second"
  [ "$(cell 2)" = "the last whole step" ]
  local step
  step=$(trained metrics)
  grep -q "hint: this stage has saved its share of step $step" said
  grep -q "hint: this stage has saved its share of step $step" said-1 || { cat said-1; return 1; }
  [ ! -e "ckpt/$(printf 'step-%08d' "$step")/manifest.json" ]
  local before more=(--set train.steps="$((step + 5))" --set optim.schedule=constant)
  before=$(newest ckpt)
  cp -r ckpt one-has-none
  rm "one-has-none/$(printf 'step-%08d' "$step")/stage-01.record.json"
  endpoints 2
  again() {
    stage 1 --set checkpoint.dir="$1" "${more[@]}" >/dev/null 2>said-1 3>&- &
    second=$!
    expect 0 stage 0 --set checkpoint.dir="$1" "${more[@]}"
    wait "$second"
  }
  # Where one stage has not, all go on from the newest checkpoint, and nothing is left of the shares.
  again one-has-none
  says "continuing the run in one-has-none from step $before of $((step + 5))"
  [ ! -e "one-has-none/$(printf 'step-%08d' "$step")/stage-00.record.json" ]
  again ckpt
  says "continuing the run in ckpt from step $step of $((step + 5)), of which every stage had saved its share"
  ptrain-ckpt verify --data --dir ckpt "$step"
  # As if nothing had happened.
  local weights=${output##*weights_sha256 }
  expect 0 ptrain-stage run --job job.toml --threads 1 --set checkpoint.dir=undisturbed "${more[@]}"
  prints "weights_sha256 $weights"
}

@test "another stage was told to stop" {
  pair
  kill -TERM "$second"
  ends "$first"
  last_step_saved metrics ckpt
}

@test "words for people cannot be written" {
  expect 0 bash -c '"$@" --progress always 2>/dev/full' bash \
    ptrain-stage run --job job.toml --threads 1
  mkfifo unread
  # shellcheck disable=SC2016  # bash -c's own
  expect "$(cell 3)" bash -c 'true <unread & exec "$@" --progress always 2>unread' bash \
    ptrain-stage run --job job.toml --threads 1 --set checkpoint.dir=other
  expect 0 bash -c '"$@" 2>&-' bash \
    ptrain-stage run --job job.toml --threads 1 --set checkpoint.dir=third --metrics third.jsonl
  run ! grep -v '^{' third.jsonl
  [ "$(newest ckpt)" = 20 ]
  [ "$(newest other)" = 20 ]
  [ "$(newest third)" = 20 ]
}

# A disk that takes no file longer than this: what the kernel says then, it says of a full one, too.
small_disk() { prlimit --pid "$run" --fsize="$1:unlimited"; }

@test "metrics cannot be written" {
  alone "${SHORT[@]}" --set checkpoint.every=100000
  small_disk "$(stat -c %s metrics)"
  eventually 60 grep -q 'metrics to metrics: File too large; the work goes on' said
  sleep 0.2
  small_disk unlimited
  within=300 ends
  grep -q 'metrics to metrics is written again' said
  jq -es 'map(select(.kind == "step").step) == [range(1; '"$((LAST + 1))"')]' metrics
}

@test "no room for a checkpoint" {
  alone "${SHORT[@]}"
  small_disk 100000
  eventually 60 grep -q 'warning: no checkpoint of step' said
  small_disk unlimited
  within=300 ends
  [ "$(newest ckpt)" = "$LAST" ]
  # What could not be saved has left nothing behind.
  [ -z "$(find ckpt -name '.tmp-*')" ]
  for folder in ckpt/step-*; do [ -f "$folder/manifest.json" ]; done
  ptrain-ckpt verify --data ckpt/latest
}

@test "no room for the last checkpoint" {
  alone "${LONG[@]}"
  small_disk 100000
  kill -TERM "$run"
  ends
  grep -q 'no checkpoint of step' said
  grep -q 'is the newest that is saved' said
  newest_stays metrics ckpt
}

@test "a place cannot be written at the start" {
  : >file
  expect "$(cell 3)" ptrain-stage run --job job.toml --threads 1 --metrics metrics \
    --set checkpoint.dir=file/ckpt
  says "file"
  [ ! -e metrics ]
  expect 74 ptrain-stage run --job job.toml --threads 1 --metrics nowhere/metrics
  says "open nowhere/metrics for metrics"
  [ -z "$(find . -name 'step-*')" ]
}

@test "no room for even one checkpoint at the start" {
  local -a namespaces=(--mount)
  if ((EUID != 0)); then namespaces+=(--user --map-root-user); fi
  mkdir disk
  # shellcheck disable=SC2016  # bash -c's own
  expect "$(cell 3)" unshare "${namespaces[@]}" bash -c '
    mount -t tmpfs -o size=200k tmpfs disk || exit 1
    "$@"; code=$?
    find disk -type f; exit "$code"' bash \
    ptrain-stage run --job job.toml --threads 1 --set checkpoint.dir=disk/ckpt --metrics metrics
  says "no room for this stage's share of a checkpoint in disk/ckpt: 642.4 kB needed, "
  says "make room there"
  [ "$output" = disk/ckpt/.stage-00.lock ]
  run ! steps_done metrics 1
}

@test "a result cannot be written to standard output" {
  local code
  code=$(cell 3)
  # shellcheck disable=SC2016  # bash -c's own
  for full in '>/dev/full' '>&-'; do
    expect "$code" bash -c "\"\$@\" $full" bash ptrain-stage run --job job.toml --threads 1 --json
    says "ptrain-stage: error: write to standard output"
    expect "$code" bash -c "\"\$@\" $full" bash ptrain-ckpt ls --dir ckpt
    expect "$code" bash -c "\"\$@\" $full" bash ptrain-ckpt show ckpt/latest --json
    expect "$code" bash -c "\"\$@\" $full" bash ptrain-data decode data/train_000000.bin
    expect "$code" bash -c "\"\$@\" $full" bash ptrain-stage sample --checkpoint ckpt --tokens 5
    expect "$code" bash -c "\"\$@\" $full" bash ptrain-data --help
  done
  [ "$(newest ckpt)" = 20 ]
}

@test "nobody reads the result: a closed pipe" {
  local code
  code=$(cell 3)
  # The reader has gone before the program begins.
  # shellcheck disable=SC2016  # bash -c's own
  unread() {
    expect "$code" bash -c 'exec 3> >(:); wait $!; exec "$@" >&3 3>&-' bash "$@" &&
      [[ $stderr != *error* && $stderr != *warning* ]]
  }
  unread ptrain-stage run --job job.toml --threads 1 --json
  unread ptrain-ckpt ls --dir ckpt
  unread ptrain-data decode data/train_000000.bin
  unread ptrain-stage sample --checkpoint ckpt --tokens 5
  [ "$(newest ckpt)" = 20 ]
}

@test "another run uses the same checkpoint.dir" {
  alone "${LONG[@]}"
  expect "$(cell 3)" ptrain-stage run --job job.toml --threads 1 --set checkpoint.dir=ckpt --metrics other
  says "ckpt is in use by another run: stage 0 of 1 in process $run on "
  [ ! -e other ]
  # Others work beside it.
  expect 0 ptrain-ckpt ls --dir ckpt
  expect 0 ptrain-ckpt gc --dir ckpt --keep-last 1 --yes
  expect 0 ptrain-stage eval --checkpoint ckpt --data data/val_000000.bin --seq-len 32 --json
  kill -TERM "$run"
  wait "$run" || [ "$?" -eq 143 ]
}

@test "memory cannot be had" {
  ptrain-stage run --job job.toml --threads 1 --metrics metrics
  expect "$(cell 3)" ptrain-stage run --job job.toml --threads 1 --set train.steps=40 \
    --set model.vocab_size=2000000000
  says 'needed, '
  newest_stays metrics ckpt
  expect "$(cell 3)" env LD_PRELOAD="$(dirname "$PTRAIN_BIN")/tests/libfail_allocation.so" \
    FAIL_ALLOCATIONS_FROM=1000000 ptrain-stage run --job job.toml --threads 1 --set train.steps=40
  says 'out of memory'
  newest_stays metrics ckpt
}

@test "the loss is no number, or data is corrupt" {
  rm data
  cp -r "$BATS_FILE_TMPDIR/data" data
  ptrain-stage run --job job.toml --threads 1 --metrics metrics
  printf '\xff\x01' | dd of=data/train_000000.bin bs=1 seek=1224 conv=notrunc status=none
  expect "$(cell 3)" ptrain-stage run --job job.toml --threads 1 --set train.steps=40
  newest_stays metrics ckpt
}

@test "a defect of ptrain" {
  mkdir bin
  cat >bin/ptrain-stage <<'STAGE'
#!/bin/sh
echo "ptrain-stage: error: vector::_M_range_check" >&2
exit 70
STAGE
  chmod +x bin/ptrain-stage
  PTRAIN_BIN=$PWD/bin expect "$(cell 3)" "$RECIPES/pipeline.sh" --job job.toml --stages 1 --out out
  says "stage 0 ended with code 70"
  says "vector::_M_range_check"
}
