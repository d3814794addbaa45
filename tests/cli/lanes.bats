#!/usr/bin/env bats
# ptrain-stage run in lanes: the same weights whoever holds which lane, and what is said where the
# cells of a job do not fit together.
# shellcheck disable=SC2030,SC2031,SC2154  # bats sets variables, and runs each test in a process of its own

load helper
load tiny_job

setup_file() { tiny_data "$BATS_FILE_TMPDIR"; }

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  ln -s "$BATS_FILE_TMPDIR/data" data
  cp "$BATS_FILE_TMPDIR/job.toml" .
}

LANES=(--set lanes.count=4 --set batch.micro=1)

# workers FILE [ARGUMENT]...: a process for each line of cells, which must all end well; prints the
# hash that the holder of cell 0,0 ends with. The cells are written before their endpoints.
workers() {
  local lines=$1 i line folder
  local -a children=()
  shift
  folder=$(mktemp -d)
  i=0
  while read -r line; do
    printf '%s ipc://%s/%d\n' "$line" "$folder" "$((i++))"
  done <"$lines" >"$folder/endpoints"
  i=0
  while read -r line; do
    ptrain-stage run --job job.toml --cell "${line%% *}" --endpoints "$folder/endpoints" \
      --threads 1 "${LANES[@]}" --set "checkpoint.dir=${CKPT:-$folder/ckpt}" --json "$@" \
      >"$folder/$i.out" 2>"$folder/$i.log" &
    children+=($!)
    i=$((i + 1))
  done <"$lines"
  for i in "${!children[@]}"; do
    wait "${children[i]}" || { echo "process $i ended with $?:"; cat "$folder/$i.log"; return 1; } >&2
  done
  sed -n '/^{/p' "$folder"/*.out | jq -er .weights_sha256
}

children=()

# whole [ARGUMENT]...: one process that holds all lanes
whole() {
  ptrain-stage run --job job.toml --threads 1 "${LANES[@]}" \
    --set "checkpoint.dir=$(mktemp -d)/ckpt" --json --quiet "$@" | jq -er .weights_sha256
}

# same_as_whole LAYOUT [ARGUMENT]...: LAYOUT has the cells of a process on each line
same_as_whole() {
  local layout=$1 one many
  shift
  printf '%s\n' "$layout" >layout
  one=$(whole "$@")
  many=$(workers layout "$@")
  [[ $one == "$many" ]] || { echo "$one by one process, $many by:"; cat layout; return 1; }
}

@test "four lanes on one, two, three and four processes end with the same weights" {
  same_as_whole $'0,0 0,1\n0,2 0,3'
  same_as_whole $'0,1 0,2\n0,0\n0,3'
  same_as_whole $'0,3\n0,2\n0,1\n0,0'
}

@test "so they do in two stages, whose lanes are held by different numbers of processes" {
  same_as_whole $'0,0 0,1 0,2 0,3\n1,0 1,3\n1,1 1,2'
  same_as_whole $'0,0 0,2\n0,1 0,3\n1,0 1,1 1,2 1,3'
  same_as_whole $'0,0\n0,1 0,2 0,3\n1,1\n1,0\n1,2 1,3'
}

@test "and in bfloat16, with a tied head, and under gpipe" {
  same_as_whole $'0,0 0,1 0,2 0,3\n1,0 1,1\n1,2 1,3' "${BF16[@]}"
  same_as_whole $'0,0 0,3\n0,1 0,2\n1,0 1,1 1,2 1,3' --set model.tie_word_embeddings=true
  same_as_whole $'0,0 0,1\n0,2 0,3\n1,0 1,1 1,2 1,3' --set pipeline.schedule=gpipe
}

@test "lanes that have not equally many microbatches end the same, too" {
  LANES=(--set lanes.count=3 --set batch.micro=1)
  same_as_whole $'0,0\n0,1 0,2'
}

@test "lanes change the order of sums, and nothing else of the loss" {
  local one four
  LANES=(--set lanes.count=1 --set batch.micro=1)
  whole --metrics one.jsonl >one
  LANES=(--set lanes.count=4 --set batch.micro=1)
  whole --metrics four.jsonl >four
  one=$(jq -s 'map(select(.kind == "step").loss)' one.jsonl)
  four=$(jq -s 'map(select(.kind == "step").loss)' four.jsonl)
  jq -en --argjson one "$one" --argjson four "$four" \
    '[$one, $four] | transpose | length > 3 and all((.[0] - .[1]) / .[0] | fabs < 1e-5)'
}

@test "a run goes on from its checkpoint in other lanes' hands, and those fetch the state" {
  printf '0,0 0,1\n0,2 0,3\n' >two
  printf '0,0\n0,1\n0,2 0,3\n' >three
  local straight
  straight=$(whole --set train.steps=8)
  CKPT=$PWD/ckpt workers two --set train.steps=4 >first
  CKPT=$PWD/ckpt workers three --set train.steps=8 >second
  [[ $(<second) == "$straight" ]]
}

@test "data-parallel.sh and grid.sh start a process for each cell and leave a result" {
  expect 0 "$RECIPES/data-parallel.sh" --job job.toml --lanes 4 --out lanes --threads 1 --json \
    --set batch.micro=1
  expect 0 "$RECIPES/grid.sh" --job job.toml --stages 2 --lanes 4 --out grid --threads 1 \
    --set batch.micro=1
  [[ $(jq -r .weights_sha256 lanes/result.json) == "$(whole)" ]]
  [[ $(jq -r .weights_sha256 grid/result.json) == "$(whole)" ]]
  jq -es 'map(select(.kind == "step")) | length > 0 and all(.tx_lanes_bytes > 0 and .wait_lanes_s >= 0)' \
    grid/stage-1-lane-3.metrics.jsonl
}

@test "hosts that compute other numbers are named at the start, and the same numbers are not" {
  LANES=()  # the class is of the job's shapes
  OPENBLAS_CORETYPE=Nehalem ATEN_CPU_CAPABILITY=default whole --metrics old.jsonl >/dev/null
  whole --metrics new.jsonl >/dev/null
  whole --metrics again.jsonl >/dev/null
  class() { jq -r 'select(.kind == "memory").numerics_class' "$1"; }
  [[ $(class new.jsonl) =~ ^[0-9a-f]{16}$ && $(class new.jsonl) == "$(class again.jsonl)" ]]
  endpoints 2
  (stage 0 --set checkpoint.dir=apart/ckpt) >/dev/null 2>said 3>&- &
  local first=$!
  OPENBLAS_CORETYPE=Nehalem ATEN_CPU_CAPABILITY=default ptrain-stage run --job job.toml \
    --endpoints endpoints --stage 1 --threads 1 --set checkpoint.dir=apart/ckpt
  wait "$first"
  if [[ $(class old.jsonl) == "$(class new.jsonl)" ]]; then
    [[ $(grep -c 'numerics classes' said) == 0 ]]
  else
    grep -F "$(class old.jsonl) of stage 1" said
    grep -F "$(class new.jsonl) of stage 0" said
  fi
}

@test "processes that meet through a relay may hold any cells, which a file names" {
  export XDG_CONFIG_HOME=$PWD/config
  ptrain-relay serve --state state --listen tcp://127.0.0.1:0 --data 0 >relay.out 2>relay.err 3>&- &
  local relay=$! i
  eventually 60 test -s relay.out
  ptrain-relay ticket new --run lanes --relay "$(<relay.out)" -o run.ticket >/dev/null
  printf '0,1 0,2\n0,0\n0,3\n' >cells
  for i in 1 0 3; do
    ptrain-stage run --job job.toml --ticket run.ticket --cells cells --cell "0,$i" --key "key-$i" \
      --threads 1 "${LANES[@]}" --set checkpoint.dir="ckpt-$i" --json >"out-$i" 2>"said-$i" 3>&- &
    children+=($!)
  done
  for i in "${children[@]}"; do wait "$i" || { cat said-*; return 1; }; done
  kill "$relay"
  wait "$relay" || true
  [[ $(sed -n '/^{/p' out-0 | jq -er .weights_sha256) == "$(whole)" ]]
  [[ ! -e ckpt-1 && ! -e ckpt-3 ]]  # who leads saves, and nobody else
  expect 74 ptrain-stage run --job job.toml --ticket run.ticket --cells none --cell 0,0
  expect 2 ptrain-stage run --job job.toml --cells cells --cell 0,0
  says 'go with --ticket'
}

@test "cells that do not fit together are refused with the cell's name" {
  local run=(ptrain-stage run --job job.toml "${LANES[@]}" --endpoints endpoints)
  printf '0,0 0,1 ipc:///tmp/none-a\n0,1 0,2 0,3 ipc:///tmp/none-b\n' >endpoints
  expect 2 "${run[@]}" --cell 0,0
  says 'cell 0,1 is given twice'
  printf '0,0 0,1 ipc:///tmp/none-a\n0,3 ipc:///tmp/none-b\n' >endpoints
  expect 2 "${run[@]}" --cell 0,0
  says 'nobody holds cell 0,2'
  printf '0,0 0,1 ipc:///tmp/none-a\n0,2 0,3 ipc:///tmp/none-b\n' >endpoints
  expect 2 "${run[@]}"
  says 'name one of its cells: --cell 0,0'
  expect 2 "${run[@]}" --cell 0,0 --cell 0,2
  says '--cell 0,2: another process holds it than cell 0,0'
  expect 2 "${run[@]}" --cell 0,4
  says '--cell 0,4: the job has 1 stages and 4 lanes'
  expect 2 "${run[@]}" --cell 0
  says '0: not a cell'
  expect 2 ptrain-stage run --job job.toml --set lanes.count=100
  says 'lanes.count'
}

@test "a job that names its number of stages runs in that many and no others" {
  expect 2 ptrain-stage run --job job.toml --set pipeline.stages=2
  says 'pipeline.stages = 2 in the job, and 1 stages here'
  expect 2 ptrain-stage run --job job.toml --set pipeline.stages=9
  says 'must be at most 8, the blocks of 4 layers'
  expect 2 ptrain-stage run --job job.toml --set pipeline.stages=2 --set 'pipeline.layers=[4]'
  says 'pipeline.layers has the layers of 1'
  LANES=()
  [[ $(whole --set pipeline.stages=1) == "$(whole)" ]]
}

@test "a cell whose process never comes is named" {
  printf '0,0 0,1 ipc://%s/a\n0,2 0,3 ipc://%s/b\n' "$PWD" "$PWD" >endpoints
  expect 69 ptrain-stage run --job job.toml "${LANES[@]}" --endpoints endpoints --cell 0,0 \
    --peer-timeout 0.5
  says 'stage 0, lanes 2 and 3 did not dial'
}

@test "processes that hold other cells than they say to each other refuse each other" {
  printf '0,0 0,1 ipc://%s/a\n0,2 0,3 ipc://%s/b\n' "$PWD" "$PWD" >endpoints
  printf '0,0 0,2 ipc://%s/a\n0,1 0,3 ipc://%s/b\n' "$PWD" "$PWD" >others
  ptrain-stage run --job job.toml "${LANES[@]}" --endpoints endpoints --cell 0,0 \
    --peer-timeout 20 >first 2>&1 3>&- &
  local first=$!
  expect 2 ptrain-stage run --job job.toml "${LANES[@]}" --endpoints others --cell 0,3
  says 'cells of the processes: 0,0 0,2; 0,1 0,3 here, 0,0 0,1; 0,2 0,3 there'
  wait "$first" || [[ $? == 2 ]]
  grep -F 'cells of the processes: 0,0 0,1; 0,2 0,3 here' first
}
