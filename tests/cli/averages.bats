#!/usr/bin/env bats
# Averages of weights over steps (optim.ema): the same however the job is cut or interrupted, and of
# use to eval, sample and export in place of the weights.
# shellcheck disable=SC2154  # bats sets stderr and output

load helper
load tiny_job

setup_file() { tiny_data "$BATS_FILE_TMPDIR"; }

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  ln -s "$BATS_FILE_TMPDIR"/{data,job.toml} .
}

AVERAGED=(--set optim.ema=0.9 --set optim.ema_from=5)

# train OUT STAGES [OPTION]...
train() {
  "$RECIPES/pipeline.sh" --job job.toml --stages "$2" --out "$1" --quiet --json "${AVERAGED[@]}" "${@:3}" >"$1.json"
}

plain() { "$RECIPES/pipeline.sh" --job job.toml --stages 1 --out "$1" --quiet --json >"$1.json"; }

loss() { ptrain-stage eval --checkpoint "$1" --data "$PWD/data/val_*.bin" --seq-len 32 --threads 1 --json "${@:2}" | jq .loss; }

@test "averages are the same over one and two stages, and where a run goes on" {
  train one 1
  train two 2
  expect 0 ptrain-ckpt diff one/ckpt/latest two/ckpt/latest
  "$RECIPES/pipeline.sh" --job job.toml --stages 2 --out parts --quiet "${AVERAGED[@]}" \
    --set checkpoint.every=7 --set train.steps=14 --set optim.schedule=constant >/dev/null
  rm -rf parts/ckpt/latest parts/ckpt/step-00000014
  train parts 1 --set optim.schedule=constant
  train whole 1 --set optim.schedule=constant
  expect 0 ptrain-ckpt diff whole/ckpt/latest parts/ckpt/latest
  # They change nothing of the training.
  plain plain
  [ "$(jq -r .weights_sha256 one.json)" = "$(jq -r .weights_sha256 plain.json)" ]
}

@test "eval, sample and export take them in place of the weights" {
  train run 2
  local weights averages
  weights=$(loss run/ckpt) averages=$(loss run/ckpt --averages)
  [ "$weights" != "$averages" ]
  expect 0 ptrain-ckpt export run/ckpt/latest --hf model --averages
  grep -q 'averages over steps' model/README.md
  expect 0 ptrain-ckpt import --hf model --out imported
  [ "$(loss imported)" = "$averages" ]
  expect 0 ptrain-stage sample --checkpoint run/ckpt --averages --tokens 5 --threads 1
  # Averages that begin with the last step are its weights.
  train last 1 --set optim.ema_from=20
  [ "$(loss last/ckpt --averages)" = "$weights" ]
}

@test "a checkpoint without averages is refused by name, and so is a job that never had them" {
  plain out
  local command
  for command in 'ptrain-stage eval --data data/val_000000.bin --seq-len 32 --checkpoint' \
    'ptrain-stage sample --checkpoint' 'ptrain-ckpt export --hf model'; do
    # shellcheck disable=SC2086  # words
    expect 2 $command out/ckpt/latest --averages
    says 'has no averages of its weights'
    says 'train with optim.ema'
  done
  [ ! -e model ]
  expect 2 ptrain-stage job --job job.toml --set optim.ema=1
  says 'optim.ema'
  expect 0 ptrain-stage job --job job.toml --set optim.ema=0
  [ "$(sed -n 's/^# job_hash //p' <<<"$output")" = "$(ptrain-stage job --job job.toml | sed -n 's/^# job_hash //p')" ]
}
