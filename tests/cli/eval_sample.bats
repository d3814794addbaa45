#!/usr/bin/env bats
# ptrain-stage eval and sample: what a checkpoint is worth, whatever it was saved from.

load helper
load tiny_job

setup_file() {
  cd "$BATS_FILE_TMPDIR" || return
  tiny_data .
  train 1 --set train.steps=40 --set eval.sequences=0 >one.json
  mv out one
  train 4 --set train.steps=40 --set eval.sequences=0 >four.json
  mv out four
}

setup() { cd "$BATS_FILE_TMPDIR" || return; }

evaluate() { ptrain-stage eval --data data/val_000000.bin --seq-len 32 --threads 1 "$@"; }
write() { ptrain-stage sample --checkpoint four/ckpt "$@"; }

@test "a checkpoint of one stage and of four are worth the same" {
  local one
  expect 0 evaluate --checkpoint one/ckpt --json
  one=$(jq -c 'del(.checkpoint)' <<<"$output")
  expect 0 evaluate --checkpoint four/ckpt --json
  [ "$(jq -c 'del(.checkpoint)' <<<"$output")" = "$one" ]
}

@test "the loss is that of the run's own evaluation" {
  expect 0 evaluate --checkpoint four/ckpt --json
  jq -en --argjson eval "$output" --slurpfile run four.json \
    '($eval.loss / $run[0].val_loss - 1) | fabs < 1e-5'
}

@test "a step is chosen by its number, its id, or as the latest" {
  local id
  id=$(sha256sum <four/ckpt/step-00000040/manifest.json | cut -d ' ' -f 1)
  expect 0 evaluate --checkpoint four/ckpt --json
  local latest=$output which
  for which in latest 40 "$id" "${id:0:12}"; do
    expect 0 evaluate --checkpoint four/ckpt --step "$which" --json
    [ "$output" = "$latest" ]
  done
  expect 2 evaluate --checkpoint four/ckpt --step 41
  says 41
}

@test "a step that was not saved to its end is no checkpoint, and is said so" {
  cp -r four/ckpt unfinished
  mv unfinished/step-00000040 unfinished/step-00000041
  rm unfinished/step-00000041/manifest.json
  expect 65 evaluate --checkpoint unfinished --step 41
  says "unfinished/step-00000041: no manifest.json: the step was not saved to its end"
}

@test "a text begins with its prompt, and the same seed writes the same" {
  expect 0 write --prompt 'Alice ' --tokens 50 --seed 3
  local text=$output
  [[ $text == 'Alice '* ]]
  [ "${#text}" -ge 40 ]
  expect 0 write --prompt 'Alice ' --tokens 50 --seed 3
  [ "$output" = "$text" ]
  expect 0 write --prompt 'Alice ' --tokens 50 --seed 4
  [ "$output" != "$text" ]
}

@test "temperature 0 and top-k 1 take the likeliest token, whatever the seed" {
  expect 0 write --prompt 'Alice ' --tokens 30 --temperature 0 --seed 1
  local text=$output
  expect 0 write --prompt 'Alice ' --tokens 30 --temperature 0 --seed 2
  [ "$output" = "$text" ]
  expect 0 write --prompt 'Alice ' --tokens 30 --top-k 1 --seed 3
  [ "$output" = "$text" ]
}

@test "a reader that leaves early is no crash" {
  run bash -c 'ptrain-stage sample --checkpoint four/ckpt --prompt "Alice " --tokens 3000 | head -c 10'
  [ "$output" = 'Alice ' ] || [ "${#output}" -eq 10 ]
}

@test "a folder without a checkpoint is named" {
  expect 2 evaluate --checkpoint data
  says data
  expect 2 ptrain-stage sample --checkpoint none
  says none
}

@test "a damaged checkpoint is refused with the file" {
  cp -r four/ckpt damaged
  printf X | dd of=damaged/step-00000040/stage-01.model.safetensors bs=1 seek=5000 conv=notrunc status=none
  expect 65 evaluate --checkpoint damaged
  says stage-01.model.safetensors
}

@test "a shard of another vocabulary is refused" {
  cp data/val_000000.bin damaged.bin
  printf '\xff\x01' | dd of=damaged.bin bs=1 seek=1224 conv=notrunc status=none
  expect 65 ptrain-stage eval --checkpoint four/ckpt --data damaged.bin --seq-len 32
  says 511
}

@test "an empty prompt and a tokenizer larger than the model are refused, and wrong options" {
  expect 2 write --prompt ''
  says --prompt
  ptrain-data train-tokenizer --vocab 400 --out larger "$ROOT/recipes/corpus/alice.txt" >/dev/null
  expect 2 write --tokenizer larger.model
  says '400 tokens'
  expect 2 write --tokens -1
  expect 2 write --temperature -1
  expect 2 write --top-k -1
  expect 2 evaluate
  says --checkpoint
  expect 2 evaluate --checkpoint four/ckpt --seq-len 0
}
