#!/usr/bin/env bats
# ptrain-stage run on bad input, bad neighbours and a bad disk: the promised words, code and state.
# shellcheck disable=SC2030,SC2031,SC2154  # bats runs each test in a process of its own, and sets stderr

load helper
load tiny_job

setup_file() { tiny_data "$BATS_FILE_TMPDIR"; }

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  cp -r "$BATS_FILE_TMPDIR/data" data
  cp "$BATS_FILE_TMPDIR/job.toml" .
}

teardown() {
  local pid
  for pid in $(jobs -p); do kill -KILL "$pid" 2>/dev/null || true; done
}

alone() { ptrain-stage run --job job.toml --threads 1 "$@"; }

no_checkpoint() { [ -z "$(find . -name manifest.json)" ]; }

# put FILE OFFSET BYTES: overwrites bytes, given as escapes
put() { printf '%b' "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }

@test "a shard that is missing is named" {
  expect 74 alone --set data.train=data/none_*.bin
  says 'data/none_*.bin'
  says 'ptrain-stage: error: '
  no_checkpoint
}

@test "a truncated shard is refused with its path and sizes" {
  truncate -s -2 data/train_000000.bin
  expect 65 alone
  says train_000000.bin
  no_checkpoint
}

@test "an empty shard and one shorter than its header are refused" {
  : >data/train_000000.bin
  expect 65 alone
  says train_000000.bin
  head -c 1000 /dev/zero >data/train_000000.bin
  expect 65 alone
  says train_000000.bin
}

@test "a shard with a wrong magic is refused with the magic" {
  put data/train_000000.bin 0 '\x03\x00\x00\x00'
  expect 65 alone
  says 'magic 3'
  says 20240520
}

@test "a shard with a wrong version is refused with the version" {
  put data/train_000000.bin 4 '\x09'
  expect 65 alone
  says 'version 9'
}

@test "a token beyond the vocabulary is refused with its value and place" {
  put data/train_000000.bin 1224 '\xff\x01'  # token 100
  expect 65 alone
  says train_000000.bin
  says 511
  says 100
  no_checkpoint
}

@test "a bad validation shard is refused before training begins" {
  put data/val_000000.bin 0 '\x03\x00\x00\x00'
  expect 65 alone --metrics metrics
  says val_000000.bin
  [ ! -s metrics ]
}

@test "a job with a mistake is refused with file, line and key" {
  sed -i 's/^steps = 20/stepz = 20/' job.toml
  expect 2 alone
  says 'job.toml:19'
  says 'stepz'
  sed -i 's/^stepz/steps/' job.toml
  expect 2 alone --set train.steps=0
  says 'train.steps=0'
}

@test "a job file that is not there is named" {
  expect 74 ptrain-stage run --job none.toml
  says none.toml
}

@test "more stages than layers are refused" {
  endpoints 5
  expect 2 stage 0
  says 5
  says 4
}

@test "a stage number out of range is refused" {
  endpoints 2
  local number
  for number in 2 -1 x 4294967296; do
    expect 2 ptrain-stage run --job job.toml --endpoints endpoints --stage "$number"
  done
  expect 2 ptrain-stage run --job job.toml --stage 1
}

@test "endpoints that cannot be understood are refused with their line" {
  printf 'ipc://%s/s0\nhttp://x\n' "$PWD" >endpoints
  expect 2 stage 0
  says 'http://x'
  printf 'ipc://%s/s0\ntcp://192.0.2.1:7000\n' "$PWD" >endpoints
  expect 2 stage 0
  says '192.0.2.1'
  : >endpoints
  expect 2 stage 0
  expect 74 ptrain-stage run --job job.toml --endpoints none --stage 0
  says none
}

@test "a neighbour that never appears is named, within the timeout" {
  endpoints 2
  local begun=$SECONDS
  expect 69 stage 0 --peer-timeout 5
  says 'stage 1'
  ((SECONDS - begun < 55))  # most of it a busy machine that loads libtorch; unasked it waits for 60
  [[ $stderr =~ 'waiting for other stages for '[1-4]' s, gives up in ' ]] || { show_output; return 1; }
  says ': stage 1 did not dial ipc://'
  expect 69 stage 1 --peer-timeout 2
  says 'stage 0'
  no_checkpoint
}

@test "two stages with different jobs refuse each other, and both name the keys and both values" {
  endpoints 2
  stage 0 --peer-timeout 180 >/dev/null 2>said-0 3>&- &
  local first=$! code=0
  expect 2 stage 1 --peer-timeout 180 --set train.seed=6 --set optim.lr=0.0015
  says 'has another job: train.seed: 6 here, 5 there; optim.lr: 0.0015 here, 0.003 there'
  wait "$first" || code=$?
  cat said-0
  [ "$code" -eq 2 ]
  grep -q 'has another job: train.seed: 5 here, 6 there; optim.lr: 0.003 here, 0.0015 there' said-0
}

@test "two stages with different data refuse each other" {
  endpoints 2
  mkdir other
  ptrain-data encode --tokenizer bytes --val-fraction 0.1 --out other "$ROOT/recipes/corpus/as-you-like-it.txt"
  stage 0 --peer-timeout 180 >/dev/null 2>said-0 3>&- &
  local first=$!
  expect 2 stage 1 --peer-timeout 180 --set 'data.train=other/train_*.bin'
  says 'has other data: data.train: '
  says 'shard 1 is the first that differs: train_000000.bin ('
  wait "$first" || true
  cat said-0
  grep -q 'has other data: data.train: [0-9]* tokens here, [0-9]* there; shard 1 is' said-0
}

@test "a link that is lost is named while it is tried again, and so is its coming back" {
  over_proxy --reconnect-timeout 600 --set train.steps=1000000 --set checkpoint.every=0
  stop_proxy
  eventually 60 grep -qE "link lost to stage 0 \(tcp://127.0.0.1:$proxy_port\), trying again since [0-9]+ s, gives up in [0-9]+ s" said-1
  eventually 60 grep -q 'link lost to stage 1 (' said
  start_proxy
  eventually 60 grep -qE 'the link to stage 0 is back after [0-9]+ s' said-1
  eventually 60 grep -q 'the link to stage 1 is back after' said
  kill -TERM "$second" "$first"  # else it may end because the first was told to
  wait "$second" || [ "$?" -eq 143 ]
  stop_proxy
}

@test "a stage number that is taken is refused, by name" {
  endpoints 3
  stage 0 --peer-timeout 20 >/dev/null 2>said-0 3>&- &
  local first=$!
  stage 1 --peer-timeout 20 >/dev/null 2>said-1 3>&- &
  local second=$!
  sed "2s/s1/other/" endpoints >twin
  ptrain-stage run --job job.toml --threads 1 --endpoints twin --stage 1 --peer-timeout 20 2>said-twin >/dev/null 3>&- &
  local twin=$! codes=''
  for pid in "$first" "$second" "$twin"; do
    local code=0
    wait "$pid" || code=$?
    codes+=" $code"
  done
  cat said-*
  [[ $codes == *" 2"* ]]
  grep -h 'error' said-0 said-1 said-twin | grep -q 'stage 1'
}

@test "a port in use is refused with its address" {
  local port=$((20000 + RANDOM % 10000))
  socat "TCP-LISTEN:$port,bind=127.0.0.1,fork" /dev/null 3>&- &
  local holder=$!
  eventually 60 bash -c "exec 4<>/dev/tcp/127.0.0.1/$port"
  printf 'tcp://127.0.0.1:%d\ntcp://127.0.0.1:%d\n' "$port" "$((port + 1))" >endpoints
  run --separate-stderr stage 0 --peer-timeout 5
  kill "$holder"
  [ "$status" -eq 74 ]
  says "127.0.0.1:$port"
}

@test "a peer that speaks garbage does not disturb a run" {
  local port=$((20000 + RANDOM % 10000))  # below those that connections take
  printf 'tcp://127.0.0.1:%d\ntcp://127.0.0.1:%d\n' "$port" "$((port + 1))" >endpoints
  stage 0 --peer-timeout 300 --json >record 2>said-0 3>&- &
  local first=$!
  eventually 180 bash -c "exec 4<>/dev/tcp/127.0.0.1/$port"
  local garbage
  for garbage in /dev/urandom /dev/zero "$ROOT/README.md"; do
    timeout 5 socat -u "OPEN:$garbage,readbytes=65536" "TCP:127.0.0.1:$port" 2>/dev/null 3>&- || true
  done
  expect 0 stage 1 --peer-timeout 300
  wait "$first"
  jq -es 'last.steps == 20' < <(grep '^{' record)
}

@test "a folder for checkpoints that cannot be made is named" {
  : >file
  expect 74 alone --set checkpoint.dir=file/ckpt
  says file
}

@test "a disk that fills up while saving ends the run, and the checkpoint before it stands" {
  alone --set train.steps=5 --set optim.schedule=constant
  # A limit on the size of files fails like a full disk, and needs no disk of its own.
  expect 74 bash -c 'trap "" XFSZ; ulimit -f 64; exec ptrain-stage run --job job.toml --threads 1 \
    --set optim.schedule=constant --set checkpoint.every=5'
  says step-
  expect 0 ptrain-stage eval --checkpoint ckpt --data data/val_000000.bin --seq-len 32 --json
  expect 0 alone --set optim.schedule=constant
}

@test "a checkpoint of another model is not continued" {
  alone --set train.steps=5
  expect 2 alone --set model.hidden_size=64 --set optim.lr=1e-2
  says 'ckpt holds step-00000005 of another job: model.hidden_size: 64 here, 32 in the checkpoint;'
  [[ $stderr != *optim.lr* ]]  # may change
  expect 0 alone --set model.hidden_size=64 --set checkpoint.dir=other
}

@test "a checkpoint is not continued on other data" {
  alone --set train.steps=5
  mv data seen
  head -c 50000 "$ROOT/recipes/corpus/alice.txt" >less
  ptrain-data encode --tokenizer bytes --val-fraction 0.1 --out data less >/dev/null
  expect 2 alone
  says 'other data'
  says "$(jq -r .run.data_fingerprint ckpt/step-00000005/manifest.json)"
  says '; 1 shard of '
  rm -r data
  cp -r seen data
  cp data/train_000000.bin data/train_000001.bin
  expect 2 alone
  says 'it was trained on the first 1 of the 2 shards that are here, up to data/train_000000.bin'
  rm -r data
  mv seen data
  expect 0 alone
}

@test "an older checkpoint that is asked for is continued, and newer ones are not written over" {
  alone --set train.steps=10 --set checkpoint.every=5 --set optim.schedule=constant
  expect 2 alone --set optim.schedule=constant --resume 5 --metrics metrics
  says 'step-00000010, which the run would come to and not write over'
  says 'to keep them and branch off: mkdir FOLDER; cp -r ckpt/step-00000005 FOLDER, and --set checkpoint.dir=FOLDER'
  mkdir branch
  cp -r ckpt/step-00000005 branch
  expect 0 alone --set optim.schedule=constant --resume 5 --set checkpoint.dir=branch
  says 'continuing the run in branch from step 5 of 20'
  mv ckpt/step-00000010 kept
  expect 0 alone --set optim.schedule=constant --resume 5 --metrics metrics
  [ "$(jq -s 'map(select(.kind == "step").step) | min' metrics)" -eq 6 ]
}

@test "a step that is a link is continued from, and nothing is written through it" {
  alone --set train.steps=10 --set checkpoint.every=5 --set optim.schedule=constant
  mv ckpt/step-00000010 moved
  ln -s ../moved ckpt/step-00000010
  sha256sum moved/* >before
  expect 2 alone --set optim.schedule=constant --resume 5
  says step-00000010
  expect 0 alone --set optim.schedule=constant --metrics metrics
  [ "$(jq -s 'map(select(.kind == "step").step) | min' metrics)" -eq 11 ]
  sha256sum -c --quiet before
  [ "$(find moved -type f | wc -l)" -eq "$(wc -l <before)" ]
  rm moved/stage-00.record.json
  rm -r ckpt/step-00000020
  expect 2 alone --set optim.schedule=constant
  says 'symbolic link'
}

@test "a damaged checkpoint is passed over by auto, and named when it is asked for" {
  alone --set train.steps=10 --set checkpoint.every=5 --set optim.schedule=constant
  local manifest
  manifest=$(sha256sum <ckpt/step-00000010/manifest.json | cut -c1-16)
  truncate -s -8 ckpt/step-00000010/stage-00.model.safetensors
  expect 65 alone --set optim.schedule=constant --resume "$manifest"
  says step-00000010
  expect 0 alone --set optim.schedule=constant --resume 5 --set train.steps=6
  says '--resume 5: in ckpt, not whole and written over when the run comes there: step-00000010'
  rm -r ckpt/step-00000006
  expect 0 alone --set optim.schedule=constant --metrics metrics
  [ "$(jq -s 'map(select(.kind == "step").step) | min' metrics)" -eq 6 ]
}

@test "beginning anew does not write over checkpoints" {
  alone --set train.steps=5
  expect 2 alone --set train.steps=5 --resume none
  says 'step 5'
  says 'ckpt'
}

@test "memory that cannot be had is 75, with what was needed and what there is" {
  expect 75 alone --set model.vocab_size=2000000000
  [[ $stderr =~ 'out of memory for the parameters and their gradients: '[0-9.]+' GiB needed, '[0-9.]+' GiB available' ]]
  no_checkpoint
}

@test "a run that the kernel would take away at its first checkpoint is refused before it begins" {
  # 65,536 sequences of 32 tokens keep 64 MiB in four layers for each unit of intermediate_size: some
  # more than there is, in parts of which each would be granted.
  local free_kb
  free_kb=$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo)
  # Should it not be refused, it shall not take the machine with it.
  expect 75 prlimit --as=$((free_kb * 1024 / 3)) ptrain-stage run --job job.toml --threads 1 \
    --set batch.micro=65536 --set batch.global=65536 --set model.intermediate_size=$((free_kb / 60000 + 64))
  says 'out of memory for parameters, moments, activations and what a checkpoint copies: '
  says 'use a smaller batch.micro'
  no_checkpoint
}

# without FROM COMMAND...: no allocation of so many bytes is granted; it ends with 75 and says how
# much was needed and how much there is
without() {
  local from=$1
  shift
  expect 75 env LD_PRELOAD="$(dirname "$PTRAIN_BIN")/tests/libfail_allocation.so" \
    FAIL_ALLOCATIONS_FROM="$from" "$@"
  [[ $stderr =~ 'out of memory for '.*': '[0-9.]+' '[KM]iB' needed, '[0-9.]+' GiB available' ]] ||
    { show_output; return 1; }
}

@test "memory that cannot be had is 75 in evaluation, sampling, import, reshard and merge, too" {
  alone --set model.hidden_size=128 --set model.max_position_embeddings=100000 --set train.steps=1
  without 3000000 ptrain-stage eval --checkpoint ckpt --data data/val_000000.bin --seq-len 32
  without 3000000 ptrain-stage sample --checkpoint ckpt --tokens 1
  ptrain-ckpt export latest --hf hf
  local from=1000000
  without $from ptrain-ckpt import --hf hf --out imported
  without $from ptrain-ckpt reshard latest --stages 2 --out two
  without $from ptrain-ckpt merge 1 ckpt --out whole
  without $from ptrain-ckpt verify --data
  [ "$(find . -name manifest.json)" = ./ckpt/step-00000001/manifest.json ]
  # The bounds themselves are no reason to fail.
  expect 0 env LD_PRELOAD="$(dirname "$PTRAIN_BIN")/tests/libfail_allocation.so" \
    FAIL_ALLOCATIONS_FROM=1000000000 ptrain-ckpt reshard latest --stages 2 --out two
}

@test "a short run of a job shortens the warm-up that only the file names, and says so" {
  expect 0 alone --set train.steps=2
  says 'the warm-up is shortened to optim.warmup_steps = 1'
  expect 2 alone --set train.steps=2 --set optim.warmup_steps=3
  says '--set optim.warmup_steps=3: must be at most train.steps = 2'
}

@test "a checkpoint that is asked for and not there is named" {
  expect 2 alone --resume 0123456789abcdef
  says 0123456789abcdef
}

@test "a key that others can read is refused" {
  mkdir -m 700 keys
  ptrain-stage identity --key keys/key
  chmod 644 keys/key
  expect 77 ptrain-stage identity --key keys/key
  says keys/key
}

@test "wrong options are usage errors with the remedy" {
  expect 2 ptrain-stage
  expect 2 ptrain-stage run
  says --job
  expect 2 alone --no-such-option
  says 'ptrain-stage: hint: '
  expect 2 alone --threads 0
  expect 2 alone --device tpu:0
  says tpu:0
  expect 2 alone --peer-timeout -1
}

@test "a GPU that is not here is refused with the reason" {
  expect 2 alone --device cuda:1000
  expect 2 alone --device cuda:
  local why
  why=$(ptrain-stage --version | sed -n 's/^devices .*no cuda: //p')
  if [[ -n $why ]]; then
    expect 69 alone --device cuda
    says "--device cuda: no CUDA device: $why"
    says 'hint: --device cpu works everywhere'
    expect 69 alone --device cuda:1
  else
    expect 2 alone --device cuda:999
  fi
  no_checkpoint
}
