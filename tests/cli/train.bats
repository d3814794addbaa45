#!/usr/bin/env bats
# ptrain-stage run: the same weights whatever the cut, the schedule and the interruptions.
# shellcheck disable=SC2030,SC2031,SC2154  # bats sets variables, and runs each test in a process of its own

load helper
load tiny_job

setup_file() { tiny_data "$BATS_FILE_TMPDIR"; }

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  ln -s "$BATS_FILE_TMPDIR/data" data
  cp "$BATS_FILE_TMPDIR/job.toml" .
}

# same COMMAND... -- COMMAND...: both print the same hash
same() {
  local -a left=()
  while [[ $1 != -- ]]; do left+=("$1"); shift; done
  shift
  local one two
  one=$("${left[@]}")
  two=$("$@")
  [[ $one == "$two" ]] || { echo "$one by ${left[*]}"; echo "$two by $*"; return 1; }
}

@test "one, two and four stages end with the same weights in float32" {
  same weights 1 -- weights 2
  same weights 1 -- weights 4
}

@test "one, two and four stages end with the same weights in bfloat16" {
  same weights 1 "${BF16[@]}" -- weights 2 "${BF16[@]}"
  same weights 1 "${BF16[@]}" -- weights 4 "${BF16[@]}"
}

@test "a head that is tied to the embedding ends the same in one, two and four stages" {
  local tied=(--set model.tie_word_embeddings=true)
  same weights 1 "${tied[@]}" -- weights 2 "${tied[@]}"
  same weights 1 "${tied[@]}" -- weights 4 "${tied[@]}"
  jq -es 'map(select(.kind == "step")) | all(.tied_bytes > 0)' out/metrics.jsonl
}

@test "a cut that is given ends the same as the balanced one" {
  same weights 2 -- weights 2 --set 'pipeline.layers=[1,3]'
}

# Stages of 3, 2, 2 and 1 blocks: all cuts fall between the attention and the MLP of a layer.
INSIDE=(--set 'pipeline.layers=["1+attention", "mlp+attention", "mlp+attention", "mlp"]')

@test "cuts inside layers end with the same weights, in float32 and bfloat16, in gpipe and 1f1b" {
  local whole
  local -a precision
  for precision in float32 bfloat16; do
    precision=(--set "precision.compute=$precision")
    whole=$(weights 1 "${precision[@]}")
    same echo "$whole" -- weights 4 "${INSIDE[@]}" "${precision[@]}"
    same echo "$whole" -- weights 4 "${INSIDE[@]}" "${precision[@]}" --set pipeline.schedule=gpipe
    same echo "$whole" -- weights 3 --set pipeline.cut=blocks "${precision[@]}"
  done
}

@test "a stage can be a part of a layer, and a head tied to the embedding far away" {
  local tied=(--set model.tie_word_embeddings=true --set model.num_hidden_layers=2)
  same weights 1 "${tied[@]}" -- weights 4 "${tied[@]}" --set pipeline.cut=blocks
  grep -q ': stage 1 of 4: MLP of layer 0; ' out/stage-1.log
}

@test "a run goes on with cuts inside layers, and with other ones after that" {
  local whole resumed
  local -a go_on=("$RECIPES/pipeline.sh" --job job.toml --out out --threads 1 --json)
  whole=$(weights 2 --set optim.schedule=constant)
  weights 2 --set optim.schedule=constant --set train.steps=8
  jq -e '.version == 1' out/ckpt/step-00000008/manifest.json
  "${go_on[@]}" --stages 4 "${INSIDE[@]}" --set optim.schedule=constant --set train.steps=14
  jq -e '.version == 2 and (.stages[1].span | .block_begin == 3 and .block_end == 5)' \
    out/ckpt/step-00000014/manifest.json
  resumed=$("${go_on[@]}" --stages 1 --set optim.schedule=constant)
  [ "$(jq -r .weights_sha256 <<<"$resumed")" = "$whole" ]
  # What is evaluated, sampled and exported is the whole model, whatever the cut.
  expect 0 ptrain-ckpt reshard out/20 --layers 1+attention,mlp+2 --out cut
  expect 0 ptrain-ckpt diff out/20 cut/latest
  evaluate() { ptrain-stage eval --data data/val_000000.bin --seq-len 32 --threads 1 --json --checkpoint "$1" | jq -e .loss; }
  same evaluate cut/latest -- evaluate out/20
  ptrain-ckpt export cut/latest --hf from-cut
  ptrain-ckpt export out/20 --hf from-whole
  cmp from-cut/model.safetensors from-whole/model.safetensors
}

@test "gpipe, 1f1b and a deeper 1f1b end with the same weights" {
  same weights 2 --set pipeline.schedule=gpipe -- weights 2 --set pipeline.schedule=1f1b
  same weights 2 --set pipeline.schedule=gpipe -- weights 2 --set pipeline.in_flight=4
}

@test "a lossy codec on declared borders gives the same weights however the job is cut" {
  local int8=(--set wire.forward=int8 --set wire.backward=int8 --set 'pipeline.borders=[1,1,"1+attention","mlp"]')
  same weights 1 "${int8[@]}" -- weights 2 "${int8[@]}"
  same weights 1 "${int8[@]}" -- weights 4 "${int8[@]}"
  same weights 1 "${int8[@]}" -- weights 3 "${int8[@]}" --set 'pipeline.layers=["1+attention","mlp+1",1]'
  same weights 1 "${int8[@]}" "${BF16[@]}" -- weights 2 "${int8[@]}" "${BF16[@]}"
  same weights 1 "${int8[@]}" -- weights 1 "${int8[@]}" --set train.recompute=layer
  [[ $(weights 1 "${int8[@]}") != "$(weights 1)" ]]
}

@test "Muon ends the same in one, two and four stages, in both precisions, and after a break" {
  local muon=(--set optim.name=muon)
  same weights 1 "${muon[@]}" -- weights 4 "${muon[@]}"
  same weights 1 "${muon[@]}" "${BF16[@]}" -- weights 2 "${muon[@]}" "${BF16[@]}"
  weights 2 "${muon[@]}" --set train.steps=20 --set checkpoint.every=10 >straight
  rm -r out/ckpt/step-00000020 out/result.json
  "$RECIPES/pipeline.sh" --job job.toml --stages 3 --out out --threads 1 --json "${muon[@]}" \
    --set checkpoint.every=10 | jq -er .weights_sha256 >continued
  [[ $(<straight) == "$(<continued)" ]]
  [[ $(<straight) != "$(weights 1)" ]]
  expect 2 ptrain-stage run --job job.toml --set optim.momentum=1
  says 'optim.momentum'
}

@test "recomputing activations changes no bit" {
  same weights 2 --set train.recompute=layer -- weights 2
}

@test "two runs of the same job end with the same weights, another seed with others" {
  same weights 2 -- weights 2
  local seed_5 seed_6
  seed_5=$(weights 2)
  seed_6=$(weights 2 --set train.seed=6)
  [ "$seed_5" != "$seed_6" ]
}

@test "the loss falls, and the record says what was evaluated" {
  expect 0 train 2 --set train.steps=60 --set eval.every=20
  jq -e '.kind == "done"' <<<"$output"
  jq -e '.steps == 60 and (.val_loss | . > 1 and . < 4)' <<<"$output"
  jq -es 'map(select(.kind == "eval")) | map(.step) == [20, 40, 60]' out/metrics.jsonl
  jq -es 'map(select(.kind == "eval").val_loss) | .[0] > .[1] and .[1] > .[2]' out/metrics.jsonl
}

@test "every step has its line, with every field" {
  expect 0 train 2
  jq -es 'map(select(.kind == "step").step) == [range(1; 21)]' out/metrics.jsonl
  # On a busy machine the other stage may be the faster one for a step.
  jq -es 'map(select(.kind == "step")) | all(
    .loss > 0 and .grad_norm > 0 and .lr > 0 and .tokens_per_s > 0 and .step_s > 0
    and .compute_s > 0 and .wait_s >= 0 and .wait_previous_s == 0 and .wait_next_s >= 0
    and .wait_next_s <= .wait_s and .tx_bytes > 0 and .rx_bytes > 0 and .rss_bytes > 0
    and .in_flight >= 2) and any(.wait_next_s > 0)' \
    out/metrics.jsonl
  jq -es 'map(select(.kind == "checkpoint")) | map(.step) == [20] and all(.save_s > 0)' \
    out/metrics.jsonl
  jq -es 'map(select(.kind == "link")) | map(.step) == [range(1; 21)] and all(.peer == 1)
    and (map(.sent_bytes) | add > 0) and any(.waits.gradient > 0)
    and all(has("goodput_bytes_per_s") and has("round_trip_s") and .queued_bytes >= 0)' \
    out/metrics.jsonl
  jq -es 'last | .kind == "done" and .steps == 20' out/metrics.jsonl
  jq -es 'map(select(.kind == "step").step) == [range(1; 21)]' out/stage-1.metrics.jsonl
}

# carries BYTES: what the last run of two stages sent each way in every step, for 4 microbatches of 2
# sequences of 32 tokens, 32 numbers each: 8192 numbers
carries() {
  jq -es "map(select(.kind == \"step\")) | all(.tx_forward_bytes == $1)" out/metrics.jsonl
  jq -es "map(select(.kind == \"step\")) | all(.tx_backward_bytes == $1)" out/stage-1.metrics.jsonl
}

@test "a codec sends as many bytes as it promises" {
  local codec
  for codec in fp32:32768 bf16:16384 int8:8448; do
    expect 0 train 2 --set "wire.forward=${codec%:*}" --set "wire.backward=${codec%:*}"
    carries "${codec#*:}"
  done
}

@test "unless asked otherwise the wire loses nothing, and carries no more than that takes" {
  local exact
  expect 0 train 2
  carries 32768
  exact=$(weights 2 "${BF16[@]}")
  carries 16384
  [ "$(weights 2 "${BF16[@]}" --set wire.forward=fp32 --set wire.backward=fp32)" = "$exact" ]
  carries 32768
}

@test "a job that has come to its end is not trained again" {
  train 2 >first
  expect 0 "$RECIPES/pipeline.sh" --job job.toml --stages 2 --out out --threads 1 --json
  [ "$(jq -r .weights_sha256 <<<"$output")" = "$(jq -r .weights_sha256 first)" ]
  jq -es 'map(select(.kind == "step").step) == [range(1; 21)]' out/metrics.jsonl
}

@test "a run says where it begins, what came of it, and that there was nothing to do" {
  local run=(ptrain-stage run --job job.toml --threads 1)
  expect 0 "${run[@]}"
  says 'ptrain-stage: starting anew, for 20 steps; checkpoints go to ckpt'
  [[ $output =~ ^'step 20 of 20 is done: loss '[0-9.]+', validation loss '[0-9.]+' nats per token, '[0-9.]+' s, '[0-9.]+k?' tokens/s'$'\nckpt/step-00000020\nweights_sha256 '[0-9a-f]{64}$ ]]
  expect 0 "${run[@]}"
  says 'ptrain-stage: 0 steps to do: the run in ckpt is at step 20 of 20'
  prints '0 steps to do: step 20 of 20 is done'
  expect 0 "${run[@]}" --set train.steps=30
  says 'ptrain-stage: continuing the run in ckpt from step 20 of 30'
  prints 'step 30 of 30 is done: loss '
}

@test "checkpoints that are due by time are of the same steps on every stage" {
  "$RECIPES/pipeline.sh" --job job.toml --stages 2 --out out --threads 1 --set train.steps=1000000 \
    --set checkpoint.every=1s 2>said 3>&- &
  recipe=$!
  saved() { jq -s "map(select(.kind == \"checkpoint\").step)" "$1"; }
  three() { [[ -f out/metrics.jsonl ]] && jq -es 'map(select(.kind == "checkpoint")) | length >= 3' out/metrics.jsonl >/dev/null 2>&1; }
  eventually 180 three
  kill -TERM "$recipe"
  wait "$recipe" || [ "$?" -eq 143 ]
  [ "$(saved out/metrics.jsonl)" = "$(saved out/stage-1.metrics.jsonl)" ]
  grep -q "step $(saved out/metrics.jsonl | jq last) of 1000000 is saved in .*: nothing is lost; the same command goes on from step" out/stage-1.log
}

@test "a longer run of the same job goes on from the end of the shorter one" {
  local whole
  whole=$(weights 2 --set optim.schedule=constant --set train.steps=20)
  weights 2 --set optim.schedule=constant --set train.steps=8
  expect 0 "$RECIPES/pipeline.sh" --job job.toml --stages 2 --out out --threads 1 --json \
    --set optim.schedule=constant --set train.steps=20
  [ "$(jq -r .weights_sha256 <<<"$output")" = "$whole" ]
}

@test "a run that goes on says what the job does otherwise than before" {
  weights 1 --set train.steps=4
  expect 0 "$RECIPES/pipeline.sh" --job job.toml --stages 1 --out out --threads 1 --set train.steps=6 \
    --set wire.forward=bf16
  grep -qx 'ptrain-stage: changed since that checkpoint: train.steps: 4 -> 6; wire.forward: "fp32" -> "bf16"' out/stage-0.log
  expect 0 "$RECIPES/pipeline.sh" --job job.toml --stages 1 --out out --threads 1 --set train.steps=6 \
    --set wire.forward=bf16
  run ! grep 'changed since' out/stage-0.log
}

@test "the whole job can be printed, and is the same job" {
  expect 0 ptrain-stage job --job job.toml --set optim.lr=0.5
  prints $'[optim]\nname = "adamw"\nlr = 0.5\n'
  prints "clip_norm = 1.0"  # a default
  printf '%s\n' "$output" >whole.toml
  expect 0 ptrain-stage job --job whole.toml --json
  local whole=$output
  jq -e '.job["optim.lr"] == 0.5 and (.job_hash | length == 64) and (.resume_hash | length == 64)' <<<"$whole"
  expect 0 ptrain-stage job --job - --set optim.lr=0.5 --json <job.toml
  [ "$output" = "$whole" ]
  expect 2 ptrain-stage job --job job.toml --set optim.lr=0
  says "--set optim.lr=0: must be above 0"
  # What a run compares is what is printed.
  expect 0 ptrain-stage run --job job.toml --threads 1 --set train.steps=1 --set optim.warmup_steps=1
  expect 0 ptrain-stage job --job job.toml --set train.steps=1 --set optim.warmup_steps=1 --json
  [ "$(jq -r .job_hash <<<"$output")" = "$(jq -r .run.job_hash ckpt/step-00000001/manifest.json)" ]
}

@test "a job as small as this one is computed by one thread, whatever there is" {
  expect 0 ptrain-stage run --job job.toml --set train.steps=1 --set optim.warmup_steps=1
  says "ptrain-stage: 1 thread"
  if (($(nproc) > 1)); then says "more would not speed up a job of this size"; fi
  expect 0 env OMP_NUM_THREADS=3 ptrain-stage run --job job.toml --set train.steps=1 \
    --set optim.warmup_steps=1 --set batch.micro=8 --set data.seq_len=256 --set model.hidden_size=256 \
    --set model.intermediate_size=512 --set checkpoint.dir=larger
  says "ptrain-stage: 3 threads"
}

@test "a run goes on with another number of stages" {
  local whole
  whole=$(weights 2 --set optim.schedule=constant)
  weights 1 --set optim.schedule=constant --set train.steps=8
  expect 0 "$RECIPES/pipeline.sh" --job job.toml --stages 4 --out out --threads 1 --json \
    --set optim.schedule=constant
  [ "$(jq -r .weights_sha256 <<<"$output")" = "$whole" ]
}

# --- interruptions: a job of some seconds, which saves every 50 steps ---

LONG=(--set train.steps=1000 --set checkpoint.every=50)

# begin STAGES: the long job in the background, with the recipe's process in $recipe
begin() {
  "$RECIPES/pipeline.sh" --job job.toml --stages "$1" --out out --threads 1 "${LONG[@]}" 2>said 3>&- &
  recipe=$!
  eventually 180 steps_done out/metrics.jsonl 120
}

# ended CODE: the recipe ends with it
ended() {
  local code=0
  wait "$recipe" || code=$?
  cat said
  [[ $code -eq $1 ]] || { echo "code $code, expected $1"; return 1; }
  run ! steps_done out/metrics.jsonl 1000
}

# continued HASH: the same command goes on and ends with these weights
continued() {
  expect 0 "$RECIPES/pipeline.sh" --job job.toml --stages 2 --out out --threads 1 --json "${LONG[@]}"
  [ "$(jq -r .weights_sha256 <<<"$output")" = "$1" ]
  jq -es 'map(select(.kind == "step").step) == [range(1; 1001)]' out/metrics.jsonl
}

@test "a stage that is killed in the middle is named, and the run continues to the same weights" {
  local whole victim
  whole=$(weights 2 "${LONG[@]}")
  for victim in 0 1; do
    rm -rf out
    begin 2
    pkill -KILL -P "$recipe" -f -- "--stage $victim"
    ended 137
    grep -q "stage $victim was ended by SIGKILL" said
    continued "$whole"
  done
}

@test "a run that was killed between a save and its evaluation begins with that" {
  expect 0 train 2 --set train.steps=10 --set eval.every=5 --set checkpoint.every=5
  local all
  all=$(jq -c 'select(.kind == "eval")' out/metrics.jsonl)
  rm -r out/ckpt/step-00000010
  jq -c 'select(.kind != "done" and .kind != "eval" and .step <= 5)' out/metrics.jsonl >kept
  mv kept out/metrics.jsonl
  expect 0 train 2 --set train.steps=10 --set eval.every=5 --set checkpoint.every=5
  [ "$(jq -c 'select(.kind == "eval")' out/metrics.jsonl)" = "$all" ]
  # What was evaluated is not evaluated again.
  rm -r out/ckpt/step-00000010
  expect 0 train 2 --set train.steps=10 --set eval.every=5 --set checkpoint.every=5
  [ "$(jq -c 'select(.kind == "eval")' out/metrics.jsonl)" = "$all" ]
}

@test "everything killed at once continues to the same weights" {
  local whole
  whole=$(weights 2 "${LONG[@]}")
  rm -rf out
  begin 2
  pkill -KILL -P "$recipe"
  ended 137
  continued "$whole"
}

@test "SIGTERM ends a run within ten seconds, with a checkpoint that it continues from" {
  local whole begun
  whole=$(weights 2 "${LONG[@]}")
  rm -rf out
  begin 2
  begun=$SECONDS
  kill -TERM "$recipe"
  ended 143
  ((SECONDS - begun <= 60))  # ten, and many for a busy machine
  # What was trained before the signal was saved, not only what the interval asked for.
  local trained
  trained=$(jq -s 'map(.step // 0) | max' out/metrics.jsonl)
  [ -f "out/ckpt/$(printf 'step-%08d' "$trained")/manifest.json" ]
  continued "$whole"
}

@test "one stage that gets SIGTERM ends with 143, and its neighbour in order" {
  endpoints 2
  stage 0 --set train.steps=100000 --metrics m0 >/dev/null 2>said-0 3>&- &
  local first=$!
  stage 1 --set train.steps=100000 >/dev/null 2>said-1 3>&- &
  local second=$! code=0
  eventually 180 steps_done m0 10
  kill -TERM "$second"
  wait "$second" || code=$?
  cat said-0 said-1
  [ "$code" -eq 143 ]
  code=0
  wait "$first" || code=$?
  [ "$code" -eq 75 ]
  grep -q 'another process was told to stop' said-0
}

@test "a run over a slow link says at its end that this is what its steps spend their time on" {
  endpoints 2
  stage 1 --set train.steps=12 >/dev/null 2>said-1 3>&- &
  # A step sends 32 KiB of activations: a third of a second.
  expect 0 stage 0 --set train.steps=12 --up-rate 100KB --json
  [[ $stderr =~ 'ptrain-stage: '[0-9]+' % of the step is the link from stage 0 to stage 1, '[01]'.'[0-9]' Mbit/s; a codec of half the bytes would give up to 1.'[0-9]'x' ]] ||
    { show_output; return 1; }
  jq -e '.bottleneck | test("link from stage 0 to stage 1")' < <(tail -n 1 <<<"$output")
  wait $!
  run ! grep 'of the step is' said-1
}

@test "the first line says how many threads compute, why, and how much memory there is" {
  local machine first
  machine=$(getconf _NPROCESSORS_ONLN)
  first=$(taskset -pc $$ | sed 's/.*: *\([0-9]*\).*/\1/')
  expect 0 taskset -c "$first" ptrain-stage run --job job.toml --set train.steps=4 --set optim.warmup_steps=1
  if ((machine > 1)); then
    says "ptrain-stage: 1 thread (affinity to 1 of $machine processors), "
  else
    says "ptrain-stage: 1 thread on 1 processor, "
  fi
  says " GiB of memory"
  expect 0 ptrain-stage run --job job.toml --threads 5 --set train.steps=4 --set optim.warmup_steps=1
  says "ptrain-stage: 5 threads"
}
