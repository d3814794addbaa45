#!/usr/bin/env bats
# Models to and from Hugging Face's format, against an independent reader in PyTorch.

load helper
load tiny_job

setup_file() {
  tiny_data "$BATS_FILE_TMPDIR"
  cd "$BATS_FILE_TMPDIR" || return
  local tied
  for tied in false true; do
    ptrain-stage run --job job.toml --threads 1 --set model.tie_word_embeddings=$tied \
      --set checkpoint.dir=tied-$tied >/dev/null
  done
}

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  ln -s "$BATS_FILE_TMPDIR"/{data,tied-false,tied-true,job.toml} .
}

# eval_loss DIR: ptrain-stage's loss of the newest checkpoint there
eval_loss() {
  ptrain-stage eval --checkpoint "$1" --data data/val_000000.bin --seq-len 32 --threads 1 --json |
    jq -er .loss
}

# reference_loss FOLDER: PyTorch's loss of the model there
reference_loss() {
  /usr/bin/python3 "$ROOT/tests/cli/hf_reference.py" "$1" data/val_000000.bin 32 >reference
  jq -er .loss reference
}

# close A B: to 1e-5 of each other
close() {
  awk -v a="$1" -v b="$2" 'BEGIN { d = a - b; if (d < 0) d = -d; exit !(d <= 1e-5 * b && b > 0) }' ||
    { echo "$1 and $2"; return 1; }
}

weights_sha256() { ptrain-ckpt ls --dir "$1" --json | jq -ers 'last.weights_sha256'; }

@test "an exported model has the loss that ptrain-stage evaluates, tied or not" {
  local tied
  for tied in false true; do
    expect 0 ptrain-ckpt export "tied-$tied/latest" --hf "hf-$tied"
    close "$(reference_loss "hf-$tied")" "$(eval_loss "tied-$tied")"
  done
  [ "$(jq -r .tie_word_embeddings hf-true/config.json)" = true ]
}

@test "the reference can tell a difference: another epsilon is another loss" {
  expect 0 ptrain-ckpt export tied-false/latest --hf hf
  jq '.rms_norm_eps = 0.01' hf/config.json >changed && mv changed hf/config.json
  run ! close "$(reference_loss hf)" "$(eval_loss tied-false)"
}

@test "import of an export has the same weights, in any cut and number of files" {
  local whole
  whole=$(weights_sha256 tied-true)
  expect 0 ptrain-ckpt export tied-true/latest --hf hf
  expect 0 ptrain-ckpt import --hf hf --out one
  expect 0 ptrain-ckpt import --hf hf --out three --stages 3
  expect 0 ptrain-ckpt export tied-true/latest --hf shards --max-shard-size 40kB
  expect 0 ptrain-ckpt import --hf shards --out given --layers 3,1
  local dir
  for dir in one three given; do
    [ "$(weights_sha256 "$dir")" = "$whole" ]
    expect 0 ptrain-ckpt diff --weights tied-true/latest "$dir/latest"
    expect 0 ptrain-ckpt verify --data "$dir/latest"
  done
  expect 1 ptrain-ckpt diff tied-true/latest one/latest
}

@test "one file and several files are the same model" {
  expect 0 ptrain-ckpt export tied-false/latest --hf one --json
  jq -e '.weights | length == 1' <<<"$output"
  [ "$(jq -r '.weights[0].sha256' <<<"$output")" = "$(sha256sum one/model.safetensors | cut -d' ' -f1)" ]
  expect 0 ptrain-ckpt export tied-false/latest --hf shards --max-shard-size 50kB --json
  jq -e '.weights | length > 2' <<<"$output"
  [ "$(reference_loss one)" = "$(reference_loss shards)" ]
  jq -e '.files | length > 2' reference
  [ ! -e shards/model.safetensors ]
}

@test "a bfloat16 model evaluates to the loss of its rounded weights" {
  expect 0 ptrain-ckpt export tied-false/latest --hf hf --dtype bfloat16
  [ "$(jq -r .torch_dtype hf/config.json)" = bfloat16 ]
  expect 0 ptrain-ckpt import --hf hf --out back
  close "$(reference_loss hf)" "$(eval_loss back)"
  expect 0 ptrain-ckpt diff --weights tied-false/latest back/latest --tolerance 0.01
  expect 1 ptrain-ckpt diff --weights tied-false/latest back/latest
}

@test "an imported model is evaluated and sampled, and no run writes over it" {
  expect 0 ptrain-ckpt export tied-false/latest --hf hf
  expect 0 ptrain-ckpt import --hf hf --out imported --stages 2
  [ "$(eval_loss imported)" = "$(eval_loss tied-false)" ]
  expect 0 ptrain-stage sample --checkpoint imported --prompt Alice --tokens 5 --seed 7 --threads 1
  expect 2 ptrain-stage run --job job.toml --threads 1 --set checkpoint.dir=imported
  [ "$(eval_loss imported)" = "$(eval_loss tied-false)" ]
}

@test "a SentencePiece model goes with the weights when it fits them" {
  ptrain-data train-tokenizer --vocab 350 --out pieces "$ROOT/recipes/corpus/alice.txt"
  expect 2 ptrain-ckpt export tied-false/latest --hf hf --tokenizer pieces.model
  says "350 tokens, the model's vocab_size is 256"
  [ ! -e hf/config.json ]
  ptrain-data encode --tokenizer pieces.model --out tokens "$BATS_FILE_TMPDIR/text" >/dev/null
  ptrain-stage run --job job.toml --threads 1 --set train.steps=1 --set optim.warmup_steps=0 \
    --set model.vocab_size=350 --set 'data.train=tokens/train_*.bin' --set 'data.val=[]' \
    --set data.tokenizer=pieces.model >/dev/null
  expect 0 ptrain-ckpt export latest --hf hf
  cmp pieces.model hf/tokenizer.model
  jq -e '.tokenizer_class == "LlamaTokenizer" and .add_bos_token == false and .add_prefix_space == false' \
    hf/tokenizer_config.json
  mv pieces.model blob && ln -s blob pieces.model
  expect 0 ptrain-ckpt export latest --hf linked --tokenizer pieces.model
  cmp blob linked/tokenizer.model
  ptrain-data train-tokenizer --vocab 340 --out other "$ROOT/recipes/corpus/alice.txt"
  expect 2 ptrain-ckpt export latest --hf another --tokenizer other.model
  says "--tokenizer other.model: it is SentencePiece model $(sha256sum <other.model | head -c 12), the checkpoint has SentencePiece model $(sha256sum <blob | head -c 12)"
  expect 0 ptrain-ckpt import --hf hf --out imported
  cmp blob imported/step-00000000/stage-00.tokenizer.model
  expect 0 ptrain-stage sample --checkpoint imported --prompt Alice --tokens 5 --threads 1
}

@test "an export needs room, --replace makes it, and other files stay" {
  mkdir hf
  echo mine >hf/README.md
  expect 2 ptrain-ckpt export tied-false/latest --hf hf
  says "README.md is there already"
  echo notes >hf/notes
  expect 0 ptrain-ckpt export tied-false/latest --hf hf --replace --max-shard-size 50kB
  expect 0 ptrain-ckpt export tied-false/latest --hf hf --replace
  [ "$(ls -m hf)" = "README.md, config.json, generation_config.json, model.safetensors, notes" ]
}

@test "what ptrain does not compute is refused with key and value" {
  expect 0 ptrain-ckpt export tied-false/latest --hf hf
  cp hf/config.json plain.json
  jq '.rope_scaling = {"rope_type": "llama3", "factor": 8.5}' plain.json >hf/config.json
  expect 2 ptrain-ckpt import --hf hf --out imported
  says 'rope_scaling = {"factor":8.5,"rope_type":"llama3"}'
  jq '.attention_bias = true' plain.json >hf/config.json
  expect 2 ptrain-ckpt import --hf hf --out imported
  says "attention_bias = true"
  jq '.architectures = ["Qwen2ForCausalLM"] | .model_type = "qwen2"' plain.json >hf/config.json
  expect 2 ptrain-ckpt import --hf hf --out imported
  says 'model_type = "qwen2": ptrain trains the families "llama" and "mistral"'
  jq '.hidden_size = 64' plain.json >hf/config.json
  expect 65 ptrain-ckpt import --hf hf --out imported
  says "config.json asks for [256, 64]"
  [ ! -e imported ]
}

@test "a Mistral is read as a Llama, unless its attention has a window" {
  expect 0 ptrain-ckpt export tied-false/latest --hf hf
  jq '.architectures = ["MistralForCausalLM"] | .model_type = "mistral" | .sliding_window = null
    | del(.attention_bias, .mlp_bias)' hf/config.json >mistral.json
  cp mistral.json hf/config.json
  expect 0 ptrain-ckpt import --hf hf --out imported
  [ "$(weights_sha256 imported)" = "$(weights_sha256 tied-false)" ]
  expect 0 ptrain-ckpt export imported/latest --hf again
  [ "$(jq -r .model_type again/config.json)" = llama ]
  cp mistral.json model.json
  printf '%s\n' '[model]' 'config = "model.json"' >other.toml
  sed '/^\[model\]/,/^$/d' job.toml >>other.toml
  expect 0 ptrain-stage run --job other.toml --threads 1 --set train.steps=1 \
    --set optim.warmup_steps=0 --set checkpoint.dir=trained

  jq '.sliding_window = 16' mistral.json >hf/config.json
  cp hf/config.json model.json
  expect 2 ptrain-ckpt import --hf hf --out windowed
  says "config.json: sliding_window = 16: ptrain's attention has no window"
  expect 2 ptrain-stage run --job other.toml --threads 1 --set checkpoint.dir=windowed
  says "model.json: sliding_window = 16"
  jq 'del(.sliding_window)' mistral.json >hf/config.json
  expect 2 ptrain-ckpt import --hf hf --out windowed
  says "sliding_window = 4096"
  [ ! -e windowed ]
}

@test "hostile files are refused with the reason, in little memory" {
  expect 0 ptrain-ckpt export tied-false/latest --hf hf --max-shard-size 50kB
  sed -i 's/model-00001-of/..\/model-00001-of/' hf/model.safetensors.index.json
  expect 65 ptrain-ckpt import --hf hf --out imported
  says "beside the index"
  expect 0 ptrain-ckpt export tied-false/latest --hf hf --replace
  printf '\x00\xc2\xeb\x0b\x00\x00\x00\x00' >hf/model.safetensors
  truncate -s 210M hf/model.safetensors
  expect 65 bash -c 'ulimit -v 200000; ptrain-ckpt import --hf hf --out imported'
  says "header of 200000000 bytes, at most 100000000 are allowed"
  rm hf/model.safetensors
  mkfifo hf/model.safetensors
  expect 65 timeout 20 ptrain-ckpt import --hf hf --out imported
  says "not a regular file"
  [ ! -e imported ]
}
