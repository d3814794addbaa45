#!/usr/bin/env bats
# Lanes against an independent implementation: PyTorch's DistributedDataParallel, in float64.

load helper
load tiny_job

setup_file() {
  cd "$BATS_FILE_TMPDIR" || return
  tiny_data "$PWD"
  # Larger weights than at a start: torch_reference.py's test says why.
  "$RECIPES/data-parallel.sh" --job job.toml --lanes 4 --out run --threads 1 --set train.steps=12 \
    --set model.initializer_range=0.2 --set optim.clip_norm=0.5 --set checkpoint.every=2 --quiet
}

setup() { cd "$BATS_FILE_TMPDIR" || return; }

reference() { /usr/bin/python3 "$ROOT/tests/cli/lanes_reference.py" run 2 10 data/train_000000.bin "$@"; }

@test "four lanes train as DistributedDataParallel does on four processes, to 1e-5" {
  expect 0 reference
  echo "$output"
  [ "$(jq .loss <<<"$output")" != 0 ]
}

@test "the reference can tell a difference: lanes that miss a part of the batch" {
  expect 1 reference 3
  jq -e '.loss > 1e-3 and .weight > 1e-3' <<<"$output"
}
