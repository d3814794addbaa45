#!/usr/bin/env bats
# A stage whose own files are damaged or missing: what it says, and how it gets them back.

load helper
load tiny_job

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  tiny_data "$PWD"
  export XDG_CONFIG_HOME=$PWD/config
}

teardown() {
  local pid
  for pid in $(jobs -p); do kill "$pid" 2>/dev/null || true; done
  wait
}

# alone STEPS [OPTION]...: one stage, to that step, saving every second
alone() {
  local steps=$1
  shift
  ptrain-stage run --job job.toml --threads 1 --json --set checkpoint.dir=ckpt \
    --set checkpoint.every=2 --set optim.schedule=constant --set train.steps="$steps" "$@"
}

# serve FOLDER: a holder of it at $there
serve() {
  there=ipc://$PWD/holder
  ptrain-ckpt serve --dir "$1" --listen "$there" >holder.out 2>holder.err 3>&- &
  eventually 60 test -s holder.out
}

# damage FILE: one bit in the middle
damage() {
  local offset byte
  offset=$(($(stat -c %s "$1") / 2))
  byte=$(od -An -tu1 -j "$offset" -N 1 "$1")
  printf "%b" "\\x$(printf '%02x' $((byte ^ 1)))" | dd of="$1" bs=1 seek="$offset" conv=notrunc status=none
}

final_weights() { jq -er .weights_sha256 <<<"$output"; }

@test "a damaged shard ends the run with a way out, and with --from it heals" {
  local uninterrupted id
  expect 0 alone 6
  uninterrupted=$(final_weights)
  rm -rf ckpt
  expect 0 alone 4
  cp -r ckpt whole
  damage ckpt/step-00000004/stage-00.model.safetensors
  id=$(ptrain-ckpt ls --dir whole --json | jq -r 'select(.step == 4) | .id')
  expect 65 alone 6
  says "stage-00.model.safetensors: chunk 0"
  says "ptrain-ckpt fetch $id --dir ckpt --from ENDPOINT"
  says "--resume 2"
  serve whole
  expect 0 alone 6 --from "$there"
  says "chunk 0 of stage-00.model.safetensors was damaged and is repaired"
  [ "$(final_weights)" = "$uninterrupted" ]
  expect 0 ptrain-ckpt verify --data ckpt/4
}

@test "a shard, a record or a manifest that is missing is fetched before the run goes on" {
  local uninterrupted file
  expect 0 alone 6
  uninterrupted=$(final_weights)
  mv ckpt whole
  rm -rf whole/step-00000006
  serve whole
  for file in stage-00.optim.safetensors stage-00.record.json manifest.json; do
    rm -rf ckpt && cp -r whole ckpt
    rm "ckpt/step-00000004/$file"
    expect 0 alone 6 --from "$there"
    [ "$(final_weights)" = "$uninterrupted" ]
    expect 0 ptrain-ckpt verify --data ckpt/4
  done
}

@test "a host that has nothing begins with what a holder has, and a holder that is away is passed over" {
  local uninterrupted
  expect 0 alone 6
  uninterrupted=$(final_weights)
  mv ckpt whole
  rm -rf whole/step-00000006
  serve whole
  expect 0 alone 6 --from "$there" --metrics metrics
  [ "$(final_weights)" = "$uninterrupted" ]
  [ "$(jq -s 'map(select(.kind == "step")) | length' metrics)" = 2 ]
  mkdir fresh
  expect 2 alone 6 --from ipc://nonsense --from tcp://10.0.0.1:7000
  says "has no key"
}

@test "another job's checkpoints are not taken, and nothing is written" {
  expect 0 alone 4
  mv ckpt foreign
  serve foreign
  expect 2 alone 4 --set train.seed=6 --from "$there"
  says "another job"
  [ -z "$(find ckpt -name '*.safetensors' 2>/dev/null)" ]
}

@test "two stages fetch their shares side by side" {
  local whole=$PWD/whole uninterrupted
  uninterrupted=$(weights 2 --set train.steps=6 --set checkpoint.every=2 --set optim.schedule=constant)
  mv out/ckpt "$whole"
  rm -rf "$whole/step-00000006" out
  serve "$whole"
  endpoints 2
  mkdir -p one two
  stage 1 --set checkpoint.dir=two --set train.steps=6 --set checkpoint.every=2 \
    --set optim.schedule=constant --from "$there" >stage-1.out 2>stage-1.err 3>&- &
  expect 0 stage 0 --json --set checkpoint.dir=one --set train.steps=6 --set checkpoint.every=2 \
    --set optim.schedule=constant --from "$there"
  wait $!
  [ "$(tail -n 1 <<<"$output" | jq -er .weights_sha256)" = "$uninterrupted" ]
  [ -e one/step-00000004/stage-00.model.safetensors ]
  [ ! -e one/step-00000004/stage-01.model.safetensors ]
  [ -e two/step-00000004/stage-01.model.safetensors ]
}
