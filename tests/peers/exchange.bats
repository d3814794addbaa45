#!/usr/bin/env bats
# Models between ptrain and the current transformers, both ways. tests/peers.sh runs it, with
# PEERS_PYTHON as a python that has transformers.

load ../cli/helper
load ../cli/tiny_job

# transformers takes ten seconds to load, so it computes the losses of all models at once.
setup_file() {
  [[ -n ${PEERS_PYTHON-} ]] || { echo "PEERS_PYTHON is not set"; return 1; }
  tiny_data "$BATS_FILE_TMPDIR"
  cd "$BATS_FILE_TMPDIR" || return
  peer make theirs
  local table='.rope_theta = .rope_parameters.rope_theta | .rope_scaling = null | del(.rope_parameters)'
  other theirs/grouped older "$table"
  other theirs/window no-window '.sliding_window = null'

  ours multi-head --set model.num_key_value_heads=4
  ours grouped
  ours multi-query --set model.num_key_value_heads=1
  ours head-dim --set model.head_dim=16
  ours tied --set model.tie_word_embeddings=true
  ptrain-ckpt export trained/grouped/latest --hf ours/sharded --max-shard-size 40kB
  ptrain-ckpt export trained/grouped/latest --hf ours/bfloat16 --dtype bfloat16
  other ours/grouped other-theta '.rope_theta = 600'
  other ours/grouped other-epsilon '.rms_norm_eps = 2e-3'
  other ours/grouped other-heads '.num_attention_heads = 2 | .num_key_value_heads = 1 | .head_dim = 16'
  peer loss data/val_000000.bin 32 theirs/* ours/* >losses
}

# other MODEL NAME FILTER: the same model under NAME, with another config.json
other() {
  cp -r "$1" "$(dirname "$1")/$2"
  jq "$3" "$1/config.json" >"$(dirname "$1")/$2/config.json"
}

# ours NAME [OPTION]...: trains a model and exports it. Its weights are so large that whatever is
# computed otherwise shows in the loss.
ours() {
  ptrain-stage run --job job.toml --threads 1 --set model.initializer_range=0.3 --set model.rope_theta=500 \
    --set model.rms_norm_eps=1e-3 --set checkpoint.dir="trained/$1" "${@:2}"
  ptrain-ckpt export "trained/$1/latest" --hf "ours/$1"
}

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  ln -s "$BATS_FILE_TMPDIR"/{data,job.toml,theirs,ours,trained,losses} .
}

# Nothing of it comes from the Hub.
peer() {
  HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error HF_HUB_DISABLE_PROGRESS_BARS=1 PYTHONPATH=$ROOT/tests/cli \
    "$PEERS_PYTHON" "$ROOT/tests/peers/transformers_peer.py" "$@"
}

# theirs MODEL KEY: what transformers says of it
theirs() { jq -ers --arg model "$1" "map(select(.model == \$model))[0].$2" losses; }

our_loss() {
  ptrain-stage eval --checkpoint "$1" --data data/val_000000.bin --seq-len 32 --threads 1 --json |
    jq -er .loss
}

# close A B: to 1e-5 of each other
close() {
  awk -v a="$1" -v b="$2" 'BEGIN { d = a - b; if (d < 0) d = -d; exit !(d <= 1e-5 * b && b > 0) }' ||
    { echo "$1 and $2"; return 1; }
}

# reads MODEL [OPTION]...: of import; the model has for ptrain the loss that transformers computes
reads() {
  expect 0 ptrain-ckpt import --hf "$1" --out read "${@:2}"
  close "$(our_loss read)" "$(theirs "$1" loss)"
}

# loads NAME: transformers computes for the export the loss that ptrain computed
loads() { close "$(our_loss "trained/$1")" "$(theirs "ours/$1" loss)"; }

# --- what transformers saves, ptrain reads ---

@test "a model with as many key heads as query heads is read" { reads theirs/multi-head; }
@test "a model with grouped key heads is read" { reads theirs/grouped; }
@test "a model with one key head is read" { reads theirs/multi-query; }
@test "a model with heads of another size than its width gives is read" { reads theirs/head-dim; }
@test "a model with a tied head is read" { reads theirs/tied; }

@test "a model is read into any cut" {
  reads theirs/grouped --stages 3
  expect 0 ptrain-ckpt import --hf theirs/grouped --out one
  expect 0 ptrain-ckpt diff --weights one/latest read/latest
}

@test "rope_theta is read in the newest and in the older spelling" {
  jq -e '.rope_parameters.rope_theta == 500 and (has("rope_theta") | not)' theirs/grouped/config.json
  jq -e '.rope_theta == 500 and (has("rope_parameters") | not)' theirs/older/config.json
  reads theirs/older
  close "$(theirs theirs/older loss)" "$(theirs theirs/grouped loss)"
}

@test "a bfloat16 model is read" {
  [ "$(theirs theirs/bfloat16 dtype)" = bfloat16 ]
  reads theirs/bfloat16
}

@test "a float16 model is read" {
  [ "$(theirs theirs/float16 dtype)" = float16 ]
  reads theirs/float16
}

@test "a model in several files is read" {
  [ "$(find theirs/sharded/ -name 'model-*.safetensors' | wc -l)" -gt 2 ]
  reads theirs/sharded
}

@test "a Mistral without a window is read" {
  jq -e '.model_type == "mistral" and .sliding_window == null' theirs/mistral/config.json
  reads theirs/mistral
}

@test "a Mistral with a window is another model, and refused" {
  run ! close "$(theirs theirs/window loss)" "$(theirs theirs/no-window loss)"
  reads theirs/no-window
  expect 2 ptrain-ckpt import --hf theirs/window --out refused
  says "sliding_window = 16"
}

# As ptrain does, too.
@test "transformers takes a window of 4096 where a Mistral's file says nothing of it" {
  expect 0 "$PEERS_PYTHON" -c 'import transformers; print(transformers.MistralConfig().sliding_window)'
  [ "$output" = 4096 ]
}

@test "what was read and exported has the same weights" {
  local name
  for name in head-dim tied bfloat16 mistral; do
    expect 0 ptrain-ckpt import --hf "theirs/$name" --out "read-$name"
    expect 0 ptrain-ckpt export "read-$name/latest" --hf "again/$name"
  done
  peer same theirs/head-dim again/head-dim theirs/tied again/tied theirs/bfloat16 again/bfloat16 \
    theirs/mistral again/mistral ours/grouped ours/sharded
  run ! peer same theirs/grouped ours/multi-head
}

# --- what ptrain exports, transformers loads ---

@test "an export with as many key heads as query heads loads" { loads multi-head; }
@test "an export with grouped key heads loads" { loads grouped; }
@test "an export with one key head loads" { loads multi-query; }
@test "an export with heads of another size than its width gives loads" { loads head-dim; }
@test "an export with a tied head loads" { loads tied; }

@test "an export in several files loads" {
  [ "$(find ours/sharded/ -name 'model-*.safetensors' | wc -l)" -gt 2 ]
  close "$(our_loss trained/grouped)" "$(theirs ours/sharded loss)"
}

@test "a bfloat16 export loads as bfloat16" {
  [ "$(theirs ours/bfloat16 dtype)" = bfloat16 ]
  reads ours/bfloat16
}

@test "the losses tell a difference: another theta, epsilon or number of heads is another loss" {
  local changed
  for changed in other-theta other-epsilon other-heads; do
    run ! close "$(theirs "ours/$changed" loss)" "$(our_loss trained/grouped)"
  done
}

@test "an export is continued by transformers as by ptrain-stage" {
  ptrain-stage sample --checkpoint trained/grouped --prompt 'Alice ' --tokens 20 --temperature 0 \
    --threads 1 >our-text
  peer continue ours/grouped 'Alice ' 20 >their-text
  cmp our-text their-text
}

@test "the tokenizer that goes with an export makes the same tokens in transformers" {
  ptrain-data train-tokenizer --vocab 350 --out pieces "$RECIPES/corpus/alice.txt"
  ptrain-data encode --tokenizer pieces.model --val-fraction 0 --out tokens "$BATS_FILE_TMPDIR/text"
  expect 0 ptrain-stage run --job job.toml --threads 1 --set train.steps=1 --set optim.warmup_steps=0 \
    --set model.vocab_size=350 --set 'data.train=tokens/train_*.bin' --set 'data.val=[]' \
    --set data.tokenizer=pieces.model
  expect 0 ptrain-ckpt export latest --hf with-tokenizer
  expect 0 peer tokens with-tokenizer "$BATS_FILE_TMPDIR/text" tokens/train_000000.bin
  # It can tell a difference: bytes are other tokens.
  expect 1 peer tokens with-tokenizer "$BATS_FILE_TMPDIR/text" data/train_000000.bin
  says "other tokens"
}
