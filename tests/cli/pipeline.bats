#!/usr/bin/env bats
# recipes/pipeline.sh as a keeper of processes: a stand-in for ptrain-stage ends, fails, hangs
# and dies on demand. What the real one does under it is in train.bats.
# shellcheck disable=SC2030,SC2031  # bats runs each test in a process of its own

load helper

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  mkdir bin
  cat >bin/ptrain-stage <<'STAGE'
#!/usr/bin/env bash
# Writes its arguments down, says it is ready, and does what ./stage-I says.
stage=0
for ((i = 1; i <= $#; i++)); do
  if [[ ${!i} == --stage ]]; then j=$((i + 1)); stage=${!j}; fi
done
printf '%s\n' "$@" >"arguments-$stage"
echo $$ >"pid-$stage"
[[ ! -f before-$stage ]] || . "./before-$stage"
echo "ipc://somewhere/$stage"
[[ ! -f stage-$stage ]] || . "./stage-$stage"
echo '{"kind":"done","steps":3,"weights_sha256":"abc"}'
STAGE
  chmod +x bin/ptrain-stage
  export PTRAIN_BIN=$PWD/bin
  echo >job.toml
}

pipeline() { "$RECIPES/pipeline.sh" --job job.toml --out out "$@"; }

# A stage that works until it is told to stop, says how often it was told, and takes a moment to leave.
works() {
  echo "leaves_in_s=${2:-0.3}" >"stage-$1"
  cat >>"stage-$1" <<'STAGE'
trap 'echo told >>"told-$stage"; sleep "$leaves_in_s"; echo "left in order" >"left-$stage"; exit 143' TERM INT HUP
echo >"working-$stage"
for ((i = 0; i < 300; i++)); do sleep 0.1; done
STAGE
}

# ends STAGE AFTER COMMANDS: a stage that does COMMANDS once the stage AFTER works
ends() {
  cat >"stage-$1" <<STAGE
until [[ -f working-$2 ]]; do sleep 0.05; done
$3
STAGE
}

# follows STAGE FIRST COMMANDS: FIRST waits for it, and when the recipe has seen how FIRST ended it
# does COMMANDS
follows() {
  cat >"stage-$1" <<STAGE
echo >working-$1
until [[ -s pid-$2 ]]; do sleep 0.05; done
while [[ -e /proc/\$(<pid-$2) ]]; do sleep 0.05; done
$3
STAGE
}

stage_gone() { [[ ! -s pid-$1 ]] || gone "$(<"pid-$1")"; }

@test "every stage gets the job, its number, the endpoints, and a place for its metrics" {
  expect 0 pipeline --stages 3 --threads 2 --set train.steps=3
  run cat arguments-1
  [[ "$output" == *$'--job\njob.toml\n--stage\n1\n--resume\nauto\n--threads\n2\n'* ]]
  [[ "$output" == *$'--set\ntrain.steps=3\n'* ]]
  [[ "$output" == *$'--set\ncheckpoint.dir='"$PWD/out/ckpt"* ]]
  [[ "$output" == *$'--metrics\n'"$PWD/out/stage-1.metrics.jsonl"* ]]
  grep -qx -- --endpoints arguments-2
  grep -qx "$PWD/out/metrics.jsonl" arguments-0
}

@test "devices are dealt to the stages in turn" {
  expect 0 pipeline --stages 3 --device cuda:0 --device cpu
  [[ $(paste -sd ' ' arguments-0) == *"--device cuda:0"* ]]
  [[ $(paste -sd ' ' arguments-1) == *"--device cpu"* ]]
  [[ $(paste -sd ' ' arguments-2) == *"--device cuda:0"* ]]
  expect 0 pipeline --stages 1
  run ! grep -q -- --device arguments-0
  expect 2 pipeline --stages 1 --device
}

@test "without --threads a stage may use its share of the cores, and chooses for itself" {
  # shellcheck disable=SC2016  # the stage's own
  echo 'echo "${OMP_NUM_THREADS-none}" >"omp-$stage"' | tee stage-0 >stage-1
  OMP_NUM_THREADS=8 expect 0 pipeline --stages 2
  run ! grep -q -- --threads arguments-0
  [ "$(cat omp-0)" = "$(cat omp-1)" ]
  (($(cat omp-0) >= 1 && $(cat omp-0) <= 4))
  OMP_NUM_THREADS=8 expect 0 pipeline --stages 2 --threads 3
  [ "$(cat omp-0)" = 8 ]
}

@test "what a run spends its time on is said in a sentence, where its record has one" {
  record() { echo "echo '{\"kind\":\"done\",\"steps\":3,\"train_s\":2,\"tokens\":9$1}'; exit 0" >stage-0; }
  record ''
  expect 0 pipeline --stages 1
  [[ $(wc -l <<<"$stderr") -eq 1 ]]
  record ',"bottleneck":"stage 0 is slow"'
  expect 0 pipeline --stages 1
  says "pipeline.sh: stage 0 is slow"
}

@test "one stage alone gets no endpoints" {
  expect 0 pipeline --stages 1
  run ! grep -q -- --endpoints arguments-0
}

@test "the final record is left in result.json, and printed with --json" {
  expect 0 pipeline --stages 2 --json
  [ "$output" = '{"kind":"done","steps":3,"weights_sha256":"abc"}' ]
  [ "$(cat out/result.json)" = "$output" ]
}

@test "without --json nothing is printed" {
  expect 0 pipeline --stages 2
  [ -z "$output" ]
  [ -z "$stderr" ]
}

@test "what came of the run is said, also without --json" {
  echo 'echo "{\"kind\":\"done\",\"steps\":3,\"val_loss\":1.23456,\"train_s\":200.4,\"tokens\":284568}"; exit 0' >stage-0
  expect 0 pipeline --stages 1
  [ -z "$output" ]
  [ "$stderr" = "pipeline.sh: done: step 3, validation loss 1.235 nats per token, after 3 min 20 s, 1420 tokens/s; the weights are in $PWD/out/ckpt" ]
  echo 'echo "{\"kind\":\"done\",\"steps\":3,\"val_loss\":null,\"train_s\":1.9e-05}"; exit 0' >stage-0
  expect 0 pipeline --stages 1
  [ "$stderr" = "pipeline.sh: done: step 3, after 0 s; the weights are in $PWD/out/ckpt" ]
}

@test "a run with nothing left to do says so, and keeps the record of the one that did it" {
  record() { echo "echo '{\"kind\":\"done\",\"steps\":3,\"train_s\":$1,\"tokens\":$2,\"weights_sha256\":\"$3\"}'; exit 0" >stage-0; }
  record 12.5 96 abc
  expect 0 pipeline --stages 1
  cp out/result.json first
  record 0 0 abc
  expect 0 pipeline --stages 1 --json
  [ "$stderr" = "pipeline.sh: nothing to do: the run in $PWD/out has done its 3 steps" ]
  [ "$output" = "$(cat first)" ]
  cmp out/result.json first
  # A record of other weights is another run's.
  record 0 0 def
  expect 0 pipeline --stages 1 --json
  prints '"weights_sha256":"def"'
}

@test "another folder for checkpoints is refused, not passed over" {
  expect 2 pipeline --stages 1 --set checkpoint.dir=elsewhere
  says "--set checkpoint.dir=elsewhere: checkpoints are kept in the ckpt of --out"
  expect 0 pipeline --stages 1 --set checkpoint.every=5
}

@test "the sockets' folder is gone afterwards" {
  mkdir tmp
  TMPDIR=$PWD/tmp expect 0 pipeline --stages 2
  [ -z "$(ls tmp)" ]
}

@test "a TMPDIR too long for a Unix socket is not used" {
  local long
  long=$PWD/$(printf 'x%.0s' {1..100})
  mkdir "$long"
  TMPDIR=$long expect 0 pipeline --stages 2
  [[ "$(cat arguments-0)" != *"$long"* ]]
}

@test "a stage that fails is named with its words, and its code is the recipe's" {
  works 0; works 2
  ends 1 0 'echo "ptrain-stage: error: shard is torn" >&2; exit 65'
  expect 65 pipeline --stages 3
  says "pipeline.sh: error: stage 1 ended with code 65"
  says "shard is torn"
  stage_gone 0
  stage_gone 2
}

@test "the others are told to stop once, and leave in order" {
  works 0
  ends 1 0 'exit 74'
  expect 74 pipeline --stages 2
  [ "$(cat told-0)" = told ]
  [ -f left-0 ]
}

@test "a stage that fails before it is ready is named too" {
  works 0
  echo 'echo "ptrain-stage: error: bad key" >&2; exit 2' >before-1
  expect 2 pipeline --stages 2
  says "stage 1 ended with code 2"
  says "bad key"
  stage_gone 0
}

@test "the cause is named, not a neighbour that lost it" {
  ends 0 1 'exit 69'
  follows 1 0 'exit 74'
  expect 74 pipeline --stages 2
  says "stage 1 ended with code 74"
}

@test "a stage that was stopped by hand is named, not one that it told" {
  ends 0 1 'exit 75'
  follows 1 0 'exit 143'
  expect 143 pipeline --stages 2
  says "stage 1 was ended by SIGTERM"
}

@test "a stage that is killed is named with its signal" {
  works 0
  # shellcheck disable=SC2016  # the stage's own
  ends 1 0 'kill -KILL $$'
  expect 137 pipeline --stages 2
  says "stage 1 was ended by SIGKILL"
  says "SIGKILL came from somebody, or the kernel for want of memory"
  stage_gone 0
}

# memory_group BYTES: a group of processes that may hold so much memory; sets group
memory_group() {
  local limit
  for group in /sys/fs/cgroup/memory /sys/fs/cgroup; do
    group=$group/ptrain-test-$$
    mkdir "$group" 2>/dev/null || continue
    for limit in memory.limit_in_bytes memory.max; do
      if [[ -w $group/$limit ]] && echo "$1" >"$group/$limit"; then return 0; fi
    done
    rmdir "$group"
  done
  skip "no memory group can be made here"
}

@test "a stage that the kernel ends for want of memory is named with what it had and what it needs" {
  local group
  memory_group 80000000
  cat >stage-0 <<STAGE
echo '{"kind":"memory","step":0,"needed_bytes":5000000000}' >out/metrics.jsonl
echo \$\$ >"$group/cgroup.procs"
exec python3 -c 'import time; x = bytearray(40 << 20); time.sleep(6); y = bytearray(200 << 20)'
STAGE
  works 1
  run --separate-stderr pipeline --stages 2
  rmdir "$group"
  [ "$status" -eq 137 ]
  says "stage 0 was ended by SIGKILL"
  says "SIGKILL came from the kernel, for want of memory"
  [[ "$stderr" =~ it\ had\ used\ [4-9][0-9]\ MB\ and\ had\ said\ that\ it\ needs\ 5000\ MB ]]
  [ -f left-1 ]
}

@test "a failed run leaves no result" {
  mkdir out
  echo old >out/result.json
  echo 'exit 65' >stage-0
  expect 65 pipeline --stages 1
  [ ! -e out/result.json ]
}

# begin STAGES [COMMAND...]: the recipe in the background as $recipe, in a process group of its own,
# by COMMAND, until all of its stages work
begin() {
  local stages=$1 i
  shift
  for ((i = 0; i < stages; i++)); do works "$i" "${leaves_in_s:-0.3}"; done
  setsid env --default-signal=INT "$@" "$RECIPES/pipeline.sh" --job job.toml --out out \
    --stages "$stages" >printed 2>said 3>&- &
  recipe=$!
  for ((i = 0; i < stages; i++)); do eventually 60 test -f "working-$i"; done
}

# left CODE: the recipe ends with it, and its stages have left in order
left() {
  local code=0
  wait "$recipe" || code=$?
  cat said
  [[ $code -eq $1 ]] || { echo "code $code, expected $1"; return 1; }
  for i in 0 1; do
    [ -f "left-$i" ]
    stage_gone "$i"
  done
}

# signalled SIGNAL CODE: the recipe ends with CODE once both of its stages work and it gets SIGNAL.
signalled() {
  begin 2
  mkdir -p out/ckpt/step-000000{80,90}
  echo '{}' >out/ckpt/step-00000080/manifest.json
  kill -s "$1" "$recipe"
  left "$2"
  grep -qx 'pipeline.sh: stopped; the same command goes on from step 80' said
  [ "$(cat told-0 told-1)" = $'told\ntold' ]
}

@test "SIGTERM is passed on once, and the recipe ends with 143" { signalled TERM 143; }
@test "a run that was stopped before it saved anything is promised nothing" {
  begin 2
  kill -TERM "$recipe"
  left 143
  grep -qx 'pipeline.sh: stopped; the same command begins anew' said
}
@test "SIGHUP is passed on once, and the recipe ends with 129" { signalled HUP 129; }
@test "SIGINT is passed on once, and the recipe ends with 130" { signalled INT 130; }

@test "a signal to the whole process group cuts nothing short" {
  local signal
  for signal in TERM:143 HUP:129 INT:130; do
    rm -f left-* working-*
    begin 2
    kill -s "${signal%:*}" -- "-$recipe"
    left "${signal#*:}"
  done
}

@test "timeout(1) cuts nothing short" {
  works 0; works 1
  timeout 600 "$RECIPES/pipeline.sh" --job job.toml --out out --stages 2 2>said 3>&- &
  local timeout=$! code=0
  eventually 60 test -f working-0 -a -f working-1
  kill -ALRM "$timeout"  # as its timer does when the time is over
  wait "$timeout" || code=$?
  cat said
  [ "$code" -eq 124 ]
  [ -f left-0 ]
  [ -f left-1 ]
}

@test "SIGTERM and SIGHUP again and again do not hasten" {
  local signal leaves_in_s=2  # each signal to the group ends the sleep that it is in
  begin 2
  kill -TERM "$recipe"
  sleep 0.2
  for signal in TERM HUP TERM TERM HUP; do
    kill -s "$signal" "$recipe" 2>/dev/null || true  # it may have left meanwhile
    kill -s "$signal" -- "-$recipe" 2>/dev/null || true
  done
  left 143
}

@test "SIGINT again within a second does not hasten, a second later it ends everything at once" {
  echo 'trap "" TERM INT; echo >working-0; while true; do read -rt 1 <> <(:); done' >stage-0
  setsid env --default-signal=INT "$RECIPES/pipeline.sh" --job job.toml --out out --stages 1 \
    2>said 3>&- &
  local recipe=$! code=0 begun
  eventually 60 test -f working-0
  kill -INT "$recipe"
  # Again as soon as it has heard the first: nothing here shall take a second.
  begun=$SECONDS
  until grep -q stopping said; do ((SECONDS - begun < 60)) || return 1; done
  kill -INT "$recipe"
  sleep 0.5
  kill -0 "$recipe"
  sleep 1
  begun=$SECONDS
  kill -INT "$recipe"
  wait "$recipe" || code=$?
  [ "$code" -eq 130 ]
  ((SECONDS - begun < 10))  # before its patience with the stage ends
  eventually 30 stage_gone 0
}

@test "what was ignored at the start stays ignored" {
  local signal
  for signal in HUP INT; do
    rm -f left-* working-*
    begin 2 env "--ignore-signal=$signal"
    kill -s "$signal" -- "-$recipe"
    kill -s "$signal" "$recipe"
    sleep 0.5
    kill -0 "$recipe"
    kill -TERM "$recipe"
    left 143
  done
}

@test "nobody's reading what the recipe says changes nothing" {
  mkfifo unread
  # shellcheck disable=SC2016  # bash -c's own
  begin 2 bash -c 'true <unread & exec "$@" 2>unread' bash
  kill -TERM -- "-$recipe"
  left 143
  rm -f left-* working-*
  begin 2 bash -c 'exec "$@" 2>/dev/full' bash
  kill -TERM "$recipe"
  left 143
}

terminal() { "$ROOT/tests/cli/on_terminal.py" "$@"; }

@test "Ctrl-C lets the stages leave in order" {
  works 0; works 1
  expect 130 terminal file:working-0 file:working-1 'type:^C' -- \
    "$RECIPES/pipeline.sh" --job job.toml --out out --stages 2
  prints "stopping (Ctrl-C again leaves now)"
  [ -f left-0 ]
  [ -f left-1 ]
}

@test "a terminal that is closed lets the stages leave in order" {
  works 0; works 1
  expect 129 terminal file:working-0 file:working-1 'hang up' -- \
    "$RECIPES/pipeline.sh" --job job.toml --out out --stages 2
  [ -f left-0 ]
  [ -f left-1 ]
}

@test "Ctrl-Z stops the stages with the recipe, and fg goes on with them" {
  # It goes on until it has been stopped and has gone on.
  cat >stage-0 <<'STAGE'
for ((i = 0; i < 3000; i++)); do
  echo >>beats
  if [[ -s later ]]; then break; fi
  sleep 0.1
done
echo >>beats
STAGE
  expect 0 terminal "type:($RECIPES/pipeline.sh --job job.toml --out out --stages 1; echo \$? >code)\\n" \
    file:beats 'type:^Z' sleep:0.3 'type:cp beats stopped\n' sleep:0.7 \
    'type:cp beats later; fg\n' file:code 'type:exit\n' -- bash --norc --noprofile -i
  [ "$(cat code)" = 0 ]
  cmp stopped later
  [ "$(wc -l <beats)" -gt "$(wc -l <later)" ]
}

@test "stty tostop stops no run in the background" {
  expect 0 terminal tostop \
    "type:$RECIPES/pipeline.sh --job job.toml --out out --stages 0 & wait; $RECIPES/pipeline.sh --job job.toml --out out --stages 1 --json & wait; echo \$? >code\\n" \
    file:code 'type:exit\n' -- bash --norc --noprofile -i
  [ -s out/result.json ]
}

@test "stages end with a recipe that is killed" {
  works 0; works 1
  "$RECIPES/pipeline.sh" --job job.toml --out out --stages 2 2>said &
  local recipe=$!
  eventually 60 test -f working-0 -a -f working-1
  kill -KILL "$recipe"
  wait "$recipe" || true
  eventually 60 stage_gone 0
  eventually 60 stage_gone 1
}

@test "a result that cannot be written is an error, and one that nobody reads is none" {
  expect 74 bash -c '"$@" >/dev/full' bash "$RECIPES/pipeline.sh" --job job.toml --out out --stages 1 --json
  says "result.json cannot be written to standard output"
  # The reader has gone before it begins.
  # shellcheck disable=SC2016  # bash -c's own
  expect 141 bash -c 'exec 3> >(:); wait $!; exec "$@" >&3 3>&-' bash "$RECIPES/pipeline.sh" --job job.toml --out out --stages 1 --json
  [ -z "$stderr" ]
}

@test "closed descriptors are no place for errors" {
  expect 0 bash -c '"$@" <&- >&- 2>&-' bash "$RECIPES/pipeline.sh" --job job.toml --out out --stages 2
  [ "$(cat out/result.json)" = '{"kind":"done","steps":3,"weights_sha256":"abc"}' ]
}

@test "a folder in use by a live run is refused, and the run goes on" {
  works 0
  "$RECIPES/pipeline.sh" --job job.toml --out out --stages 1 2>said &
  local recipe=$!
  eventually 60 test -f working-0
  expect 75 pipeline --stages 1
  says "out is in use by another run: process $recipe on "
  kill -0 "$recipe"
  kill "$recipe"
  wait "$recipe" || true
}

@test "stages that are none, too many, or no number are refused" {
  for stages in 0 65 x -1 1.5 ''; do
    expect 2 pipeline --stages "$stages"
    [ ! -e arguments-0 ]
  done
  expect 0 pipeline --stages 64
}

@test "what is missing is named" {
  expect 2 "$RECIPES/pipeline.sh" --stages 2 --out out
  says "--job, --out, and --stages or --plan are needed"
  expect 2 pipeline --stages
  says "--stages needs a value"
  expect 2 pipeline --stages 2 --connections 4
  says "--connections goes with --ticket"
  expect 2 pipeline --wrong
  says "unknown argument: --wrong"
  expect 74 "$RECIPES/pipeline.sh" --job none.toml --stages 1 --out out
  says "job file none.toml cannot be read"
  PTRAIN_BIN=$PWD expect 69 pipeline --stages 1
  says "no ptrain-stage in $PWD"
}
