#!/usr/bin/env bats
# The same weights over cuts and schedules where several threads compute. tests/peers.sh runs it
# beside tests/cli/train.bats, whose jobs one thread computes.

load ../cli/helper
load ../cli/tiny_job

setup_file() { tiny_data "$BATS_FILE_TMPDIR"; }

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  ln -s "$BATS_FILE_TMPDIR"/{data,job.toml} .
}

# same_over_cuts THREADS [OPTION]...: with this many threads in every stage. The model is large
# enough that they all have work.
same_over_cuts() {
  local options=(--threads "$@" --set model.hidden_size=128 --set model.intermediate_size=320
    --set data.seq_len=64 --set batch.micro=4 --set train.steps=6) whole cut
  whole=$(weights 1 "${options[@]}")
  for cut in '2 --set pipeline.schedule=gpipe' '2 --set pipeline.schedule=1f1b' \
    '3 --set pipeline.layers=[2,1,1] --set train.recompute=layer'; do
    # shellcheck disable=SC2086  # words
    [ "$(weights $cut "${options[@]}")" = "$whole" ] || { echo "$cut: not $whole"; return 1; }
  done
}

@test "cuts and schedules end with the same weights in float32, with one thread and with two" {
  same_over_cuts 1
  same_over_cuts 2
}

@test "cuts and schedules end with the same weights in bfloat16, with one thread and with two" {
  same_over_cuts 1 "${BF16[@]}"
  same_over_cuts 2 "${BF16[@]}"
}
