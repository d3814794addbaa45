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

@test "a name that exists is that file, and no pattern" {
  cp data/val_000000.bin 'val[0].bin'
  head -c 2048 data/val_000000.bin >val0.bin  # no shard
  expect 0 ptrain-stage eval --checkpoint one/ckpt --data 'val[0].bin' --seq-len 32 --threads 1 --json
  [ "$(jq .loss <<<"$output")" = "$(evaluate --checkpoint one/ckpt --json | jq .loss)" ]
}

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
  expect 1 evaluate --checkpoint four/ckpt --step 41
  says 'no checkpoint 41 in four/ckpt'
}

@test "a checkpoint has the same names as for ptrain-ckpt" {
  local latest name
  latest=$(evaluate --checkpoint four/ckpt --json)
  for name in four four/ four/latest four/40 four/ckpt/step-00000040/ "four/$(jq -r .checkpoint <<<"$latest")"; do
    [ "$(evaluate --checkpoint "$name" --json)" = "$latest" ]
  done
  expect 2 evaluate --checkpoint four/40 --step 40
  says '--checkpoint four/40 names a checkpoint already'
  expect 0 ptrain-stage sample --checkpoint four --tokens 1 --threads 1
}

@test "a step that was not saved to its end is no checkpoint, and is said so" {
  cp -r four/ckpt unfinished
  mv unfinished/step-00000040 unfinished/step-00000041
  rm unfinished/step-00000041/manifest.json
  expect 1 evaluate --checkpoint unfinished --step 41
  says "unfinished/step-00000041 is not complete: no manifest.json: the step was not saved to its end"
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

@test "a reader that leaves early ends it, and that is no error" {
  # More text than the pipe holds and anybody waits for: only the reader's leaving ends it.
  expect 141 bash -o pipefail -c \
    'ptrain-stage sample --checkpoint four/ckpt --prompt "Alice " --tokens 1000000000 | head -c 10 >first'
  [ "$(head -c 6 first)" = 'Alice ' ]
  [ "$(wc -c <first)" -eq 10 ]
  [ -z "$stderr" ]
}

@test "a folder without a checkpoint is named" {
  expect 1 evaluate --checkpoint data
  says 'no checkpoints in data'
  expect 1 ptrain-stage sample --checkpoint none
  says 'no folder none'
}

@test "a host's share is said, and how the others are fetched" {
  mkdir -p share/ckpt
  cp -r four/ckpt/step-00000040 share/ckpt
  rm share/ckpt/step-00000040/stage-0[013].*
  local words='share/ckpt holds stage 2 of 4 of step 40; fetch the others with ptrain-ckpt fetch 40 --dir share/ckpt --from ENDPOINT'
  expect 1 evaluate --checkpoint share
  says "$words"
  expect 1 ptrain-stage sample --checkpoint share/latest
  says "$words"
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

# --- the tokenizer travels

# named FILE: as an error names a SentencePiece model
named() { printf 'SentencePiece model %s' "$(sha256sum <"$1" | head -c 12)"; }

@test "the tokenizer goes with the checkpoint, and another one is refused" {
  cd "$BATS_TEST_TMPDIR" || return
  cp "$BATS_FILE_TMPDIR"/{text,job.toml} .
  ln -s "$BATS_FILE_TMPDIR/data" bytes
  local name
  for name in one:400 two:350; do
    ptrain-data train-tokenizer --vocab "${name#*:}" --out "${name%:*}" text >/dev/null
    ptrain-data encode --tokenizer "${name%:*}.model" --val-fraction 0.1 --out "${name%:*}" text >/dev/null
  done
  ln -s one data
  local job=(--set model.vocab_size=400 --set train.steps=4 --set checkpoint.every=2)

  # The shards say what made them.
  expect 2 ptrain-stage run --job job.toml --threads 1 "${job[@]}"
  says "data.tokenizer bytes: it is bytes, data/train_000000.bin was made by $(named one.model)"
  expect 2 ptrain-stage run --job job.toml --threads 1 "${job[@]}" --set data.tokenizer=two.model
  says "data.tokenizer two.model: it is $(named two.model), data/train_000000.bin was made by $(named one.model)"
  job+=(--set data.tokenizer=one.model)
  expect 0 "$RECIPES/pipeline.sh" --job job.toml --stages 2 --out out --threads 1 "${job[@]}"
  cmp one.model out/ckpt/step-00000004/stage-00.tokenizer.model
  [ ! -e out/ckpt/step-00000004/stage-01.tokenizer.model ]

  # It is used without being named, and no other.
  mv one.model kept.model
  expect 0 ptrain-stage sample --checkpoint out --prompt 'Alice ' --tokens 20 --seed 3 --threads 1
  local text=$output
  expect 0 ptrain-stage sample --checkpoint out --prompt 'Alice ' --tokens 20 --seed 3 --threads 1 --tokenizer kept.model
  [ "$output" = "$text" ]
  expect 2 ptrain-stage sample --checkpoint out --tokenizer bytes
  says "--tokenizer bytes: it is bytes, the checkpoint has $(named kept.model)"
  expect 2 ptrain-stage sample --checkpoint out --tokenizer two.model
  says "--tokenizer two.model: it is $(named two.model), the checkpoint has $(named kept.model)"
  expect 0 evaluate --checkpoint out
  expect 0 evaluate --checkpoint out --data bytes/val_000000.bin  # shards that do not say
  expect 2 ptrain-stage eval --checkpoint out --data two/val_000000.bin --seq-len 32
  says "--data two/val_000000.bin: it was made by $(named two.model), the checkpoint has $(named kept.model)"
  expect 2 ptrain-data decode data/val_000000.bin
  says "--tokenizer bytes: it is bytes, data/val_000000.bin was made by $(named kept.model)"

  # A run goes on with its checkpoint's, also where the job names none.
  local more=(--set model.vocab_size=400 --set train.steps=6 --set optim.warmup_steps=4 --set checkpoint.dir=out/ckpt)
  expect 2 ptrain-stage run --job job.toml --threads 1 "${more[@]}" --set data.tokenizer=two.model
  says "data.tokenizer two.model: it is $(named two.model), the checkpoint of step 4 has $(named kept.model)"
  expect 0 ptrain-stage run --job job.toml --threads 1 "${more[@]}"
  cmp kept.model out/ckpt/step-00000006/stage-00.tokenizer.model
  expect 0 ptrain-ckpt verify --data out
}

# on HOST LINE: a line of the README in that host's folder
on() { (cd "$1" && XDG_CONFIG_HOME=$PWD/config exec bash -c "$2"); }

@test "a run over two hosts says how the model comes together, and the README's lines do it" {
  cd "$BATS_TEST_TMPDIR" || return
  ln -s "$BATS_FILE_TMPDIR"/{data,job.toml} .
  mkdir -p one two three/ckpt
  endpoints 2
  stage 1 --set checkpoint.dir=two/ckpt --set train.steps=4 2>two/said 3>&- &
  local other=$! commands key server
  expect 0 stage 0 --set checkpoint.dir=one/ckpt --set train.steps=4
  says 'one/ckpt holds stage 0 of 2 of step 4; fetch the others with ptrain-ckpt fetch 4 --dir one/ckpt --from ENDPOINT'
  wait "$other"
  grep -q 'two/ckpt holds stage 1 of 2 of step 4; fetch the others' two/said

  mapfile -t commands < <(sed -n '/^## Your model, together/,/^## Upgrading/s/^    //p' "$ROOT/README.md")
  [ "${#commands[@]}" -eq 4 ]
  key=$(on two 'ptrain-stage identity')
  commands[0]=${commands[0]/0.0.0.0:7200/127.0.0.1:0}
  on one "exec ${commands[0]/PUBLIC-KEY-OF-TWO/$key}" >served 2>served.err 3>&- &
  server=$!
  eventually 60 test -s served
  expect 0 on two "${commands[1]/'tcp://one.example.net:7200#PUBLIC-KEY-OF-ONE'/$(<served)}"
  kill -TERM "$server"
  wait "$server" || true
  expect 0 on two "${commands[2]} --tokens 5 --threads 1"
  [[ $output == 'Once upon a time'* ]]
  expect 0 bash -c "${commands[3]}"
  expect 0 ptrain-ckpt diff whole two
}
