#!/usr/bin/env bats
# Fetching over links of a given rate, whose connections are cut: the bounds are loose, since
# the machine is small and busy; tests/bench/fetch.sh measures.

load ../cli/helper
load ../cli/tiny_job

# A checkpoint of some 80 MB.
setup_file() {
  cd "$BATS_FILE_TMPDIR" || return
  tiny_data "$PWD"
  ptrain-stage run --job job.toml --threads 1 --set checkpoint.dir=ckpt --set train.steps=1 \
    --set optim.warmup_steps=1 --set model.hidden_size=384 --set model.intermediate_size=1024 \
    --set batch.global=2 --set eval.sequences=2
}

setup() { cd "$BATS_TEST_TMPDIR" || return; }

# scenario HOLDERS OPTION...: the JSON of tests/net/fetch_scenario.sh
scenario() {
  local holders=$1
  shift
  "$RECIPES/lab/lab.sh" --hosts 0 --public $((holders + 1)) -- \
    "$ROOT/tests/net/fetch_scenario.sh" --source "$BATS_FILE_TMPDIR/ckpt" --out copy \
    --holders "$holders" "$@"
}

holds() { jq -e "$1" <<<"$output" >/dev/null || { echo "$output"; return 1; }; }

@test "over a link whose connections are cut every second a fetch takes little longer than the link" {
  local whole
  expect 0 scenario 1 --rate 100mbit
  holds '.seconds * 12.5e6 / .size_bytes < 4'
  whole=$(jq .seconds <<<"$output")
  rm -r copy
  expect 0 scenario 1 --rate 100mbit --cut-every 1
  holds '.cuts > 0'
  holds ".seconds / $whole < 2"
  expect 0 ptrain-ckpt verify --data copy/latest
}

# At that rate a stall of the machine is short beside what the second holder saves.
@test "two holders bring a checkpoint in less time than one" {
  expect 0 scenario 1 --rate 50mbit
  local one
  one=$(jq .seconds <<<"$output")
  rm -r copy
  expect 0 scenario 2 --rate 50mbit
  holds "$one / .seconds > 1.2"
  holds '.holders | min > 8388608'
}
