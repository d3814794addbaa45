#!/usr/bin/env bats
# ptrain-stage against an independent implementation: PyTorch's autograd, in float64.

load helper

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  # Ten windows of 32 tokens, and one token more: a step reads four of them, and the third one begins
  # the second pass over the data.
  head -c 321 "$ROOT/recipes/corpus/alice.txt" >text
  expect 0 ptrain-data encode --out data --val-fraction 0 text
  # With the small weights that a model has at its start, attention is nearly uniform, and what is
  # left of its keys' gradient in float32 is as inexact in PyTorch, in the sixth digit.
  cat >job.toml <<'JOB'
[model]
initializer_range = 0.2
vocab_size = 256
hidden_size = 48
intermediate_size = 80
num_hidden_layers = 4
num_attention_heads = 6
num_key_value_heads = 2
head_dim = 8
max_position_embeddings = 32
[data]
train = "data/train_*.bin"
seq_len = 32
[batch]
global = 4
micro = 2
[train]
steps = 4
seed = 3
[optim]
lr = 0.01
clip_norm = 0.5
warmup_steps = 2
[checkpoint]
every = 1
JOB
}

# agrees STAGES [KEY=VALUE]...: the step from 2 to 3 is PyTorch's.
agrees() {
  local stages=$1 sets=() set
  shift
  for set in "$@"; do sets+=(--set "$set"); done
  expect 0 "$RECIPES/pipeline.sh" --job job.toml --stages "$stages" --out run --threads 1 "${sets[@]}"
  expect 0 /usr/bin/python3 "$ROOT/tests/cli/torch_reference.py" run 2 data/train_000000.bin
  echo "$output"
}

@test "one stage: loss, gradients and update agree with PyTorch to 1e-5" {
  agrees 1
}

@test "three stages: loss, gradients and update agree with PyTorch to 1e-5" {
  agrees 3
}

@test "a tied head, on one stage and on two, agrees with PyTorch to 1e-5" {
  agrees 1 model.tie_word_embeddings=true
  rm -r run
  agrees 2 model.tie_word_embeddings=true
}

@test "recomputed activations agree with PyTorch to 1e-5" {
  agrees 2 train.recompute=layer
}

@test "the learning rate of every step is that of each schedule, down to its minimum" {
  local schedule
  for schedule in linear constant; do
    agrees 1 "optim.schedule=$schedule" train.steps=8
    rm -r run
  done
  agrees 1 optim.warmup_steps=0 optim.min_lr_ratio=0.01
  jq -es 'map(select(.kind == "step").lr) | .[0] == 0.01 and (.[-1] / 0.0001 - 1 | fabs) < 1e-9' run/metrics.jsonl
  sed -i 's/"optim.min_lr_ratio\\":0.01/"optim.min_lr_ratio\\":0.02/' run/ckpt/step-00000002/manifest.json
  expect 1 /usr/bin/python3 "$ROOT/tests/cli/torch_reference.py" run 2 data/train_000000.bin
}

@test "the reference can tell a difference: another epsilon is another update" {
  agrees 1
  sed -i 's/"optim.eps\\":1e-08/"optim.eps\\":1e-03/' run/ckpt/step-00000002/manifest.json
  grep -q '1e-03' run/ckpt/step-00000002/manifest.json
  expect 1 /usr/bin/python3 "$ROOT/tests/cli/torch_reference.py" run 2 data/train_000000.bin
}

@test "the reference can tell a difference: another seed is another order of the data" {
  agrees 1
  sed -i 's/"train.seed\\":3/"train.seed\\":4/' run/ckpt/step-00000002/manifest.json
  grep -q '"train.seed\\":4' run/ckpt/step-00000002/manifest.json
  expect 1 /usr/bin/python3 "$ROOT/tests/cli/torch_reference.py" run 2 data/train_000000.bin
}
