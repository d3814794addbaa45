#!/usr/bin/env bats
# recipes/pipeline.sh as a keeper of processes: a stand-in for ptrain-stage ends, fails, hangs
# and dies on demand. What the real one does under it is in train.bats.

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

# A stage that works until it is told to stop, and says how often it was told.
works() {
  cat >"stage-$1" <<'STAGE'
trap 'echo told >>"told-$stage"; sleep 0.3; echo "left in order" >"left-$stage"; exit 143' TERM INT
touch "working-$stage"
for ((i = 0; i < 300; i++)); do sleep 0.1; done
STAGE
}

gone() { ! kill -0 "$(cat "pid-$1")" 2>/dev/null; }

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
  echo 'sleep 0.5; echo "ptrain-stage: error: shard is torn" >&2; exit 65' >stage-1
  expect 65 pipeline --stages 3
  says "pipeline.sh: error: stage 1 ended with code 65"
  says "shard is torn"
  gone 0 && gone 2
}

@test "the others are told to stop once, and leave in order" {
  works 0
  echo 'sleep 0.5; exit 74' >stage-1
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
  gone 0
}

@test "the cause is named, not a neighbour that lost it" {
  echo 'sleep 0.5; exit 69' >stage-0
  echo 'sleep 0.9; exit 74' >stage-1
  expect 74 pipeline --stages 2
  says "stage 1 ended with code 74"
}

@test "a stage that was stopped by hand is named, not one that it told" {
  echo 'sleep 0.5; exit 75' >stage-0
  echo 'sleep 0.7; exit 143' >stage-1
  expect 143 pipeline --stages 2
  says "stage 1 was ended by SIGTERM"
}

@test "a stage that is killed is named with its signal" {
  works 0
  echo 'sleep 0.3; kill -KILL $$' >stage-1
  expect 137 pipeline --stages 2
  says "stage 1 was ended by SIGKILL"
  gone 0
}

@test "a failed run leaves no result" {
  mkdir out
  echo old >out/result.json
  echo 'exit 65' >stage-0
  expect 65 pipeline --stages 1
  [ ! -e out/result.json ]
}

# signalled SIGNAL CODE: the recipe ends with CODE once both of its stages work and it gets SIGNAL.
signalled() {
  works 0; works 1
  "$RECIPES/pipeline.sh" --job job.toml --out out --stages 2 2>said &
  local recipe=$!
  eventually 10 test -f working-0 -a -f working-1
  kill -s "$1" "$recipe"
  local code=0
  wait "$recipe" || code=$?
  cat said
  [ "$code" -eq "$2" ]
  [ "$(cat told-0 told-1)" = $'told\ntold' ]
  [ -f left-0 ] && [ -f left-1 ]
}

@test "SIGTERM is passed on once, and the recipe ends with 143" { signalled TERM 143; }

@test "a second SIGTERM ends everything at once" {
  echo 'trap "" TERM; touch working-0; sleep 30' >stage-0
  "$RECIPES/pipeline.sh" --job job.toml --out out --stages 1 2>said &
  local recipe=$! code=0
  eventually 10 test -f working-0
  kill "$recipe"
  sleep 0.5
  kill "$recipe"
  local begun=$SECONDS
  wait "$recipe" || code=$?
  [ "$code" -eq 143 ]
  ((SECONDS - begun < 5))
  eventually 2 gone 0
}

@test "stages end with a recipe that is killed" {
  works 0; works 1
  "$RECIPES/pipeline.sh" --job job.toml --out out --stages 2 2>said &
  local recipe=$!
  eventually 10 test -f working-0 -a -f working-1
  kill -KILL "$recipe"
  wait "$recipe" || true
  eventually 5 gone 0
  eventually 5 gone 1
}

@test "a folder in use by a live run is refused, and the run goes on" {
  works 0
  "$RECIPES/pipeline.sh" --job job.toml --out out --stages 1 2>said &
  local recipe=$!
  eventually 10 test -f working-0
  expect 75 pipeline --stages 1
  says "out is in use by another run"
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
  says "--job, --stages and --out are needed"
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
