#!/usr/bin/env bash
# What must hold on a CUDA device, in at most five minutes; and the bundle that carries it to a
# machine that has one.
# shellcheck disable=SC2317  # the tests are called by their names
# shellcheck source=../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../recipes/lib.sh"

TESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
LIBRARIES=$ROOT/../../lib/bundle  # those of Debian, beside the installed programs of a bundle
readonly TESTS LIBRARIES
readonly MOST_BUNDLE_MIB=64
readonly STEPS=20 WARM_UP_STEPS=3
LIMIT_S=300 RUN_LIMIT_S=100  # of all, and of one run, on a device
# What every machine that has a PyTorch has, and has to have from one hand.
readonly OF_THE_SYSTEM='^(ld-linux.*|lib(c|m|dl|rt|pthread|util|resolv|stdc\+\+|gcc_s))\.so'

usage() {
  cat <<TEXT
usage: gpu.sh [--torch PYTHON] [--rehearse]
       gpu.sh --bundle FOLDER --torch PYTHON

Tries the programs on the first CUDA device: the same bits over every cut, two devices, a device and
the CPU in one job, the losses of the CPU, saving and going on across devices, memory that runs out,
and the speed and memory of a model of 160 million parameters beside PyTorch. Prints a line of TAP
for each, in at most five minutes. Where there is no such device it says SKIP and ends with $EXIT_TRY_AGAIN.

The programs are those of PTRAIN_BIN, built for CUDA (recipes/build.sh --torch), or of the bundle
that this script is in, which takes libtorch from the PyTorch of PYTHON.

  --torch PYTHON   a python that has PyTorch (default: python3)
  --rehearse       the CPU plays the device, with a small model: tries this script, and no GPU
  --bundle FOLDER  instead of testing, build for that PyTorch, which must have CUDA, and leave in
                   FOLDER all that a machine needs that has bash and the same release of PyTorch:
                   at most $MOST_BUNDLE_MIB MiB. There: FOLDER/share/ptrain/tests/gpu.sh

Example:
  PTRAIN_BIN=\$(./recipes/build.sh --torch python3 --tests) ./tests/gpu.sh
TEXT
}

PYTHON=python3 TORCH='' BUNDLE='' DEVICE=cuda:0 DEVICES='' REHEARSAL=no

parse_options() {
  while (($#)); do
    case $1 in
      --torch) need_value "$@"; PYTHON=$2; shift ;;
      --bundle) need_value "$@"; BUNDLE=$2; shift ;;
      --rehearse) REHEARSAL=yes DEVICE=cpu LIMIT_S=7200 RUN_LIMIT_S=1200 ;;
      -h | --help) usage; exit 0 ;;
      *) die_usage "unknown argument: $1" ;;
    esac
    shift
  done
}

# --- the bundle ---

# libraries_of PROGRAM...: of Debian's, the paths. libtorch and what comes with it stays where it is.
libraries_of() {
  ldd "$@" | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u | while read -r path; do
    if [[ $path != "$(dirname "$TORCH")"/* && ! $(basename "$path") =~ $OF_THE_SYSTEM ]]; then
      printf '%s\n' "$path"
    fi
  done
}

bundle() {
  local build size library log
  [[ -f $ROOT/CMakeLists.txt ]] || die "$EXIT_UNAVAILABLE" "there are no sources beside this script"
  [[ ! -e $BUNDLE ]] || die_usage "--bundle $BUNDLE: it exists"
  TORCH=$(torch_of_python "$PYTHON") || die "$EXIT_USAGE" "--torch $PYTHON: no python that has PyTorch"
  TORCH=$(realpath "$TORCH") BUNDLE=$(realpath -m "$BUNDLE")
  [[ -f $TORCH/lib/libtorch_cuda.so ]] || die_usage "--torch $PYTHON: its PyTorch has no CUDA"
  need_tool jq jq
  make_temp_folder
  log=$TEMP_FOLDER/log
  build=$("$RECIPES/build.sh" --torch "$PYTHON")
  build=$(dirname "$build")
  say "building the unit tests of arithmetic"
  if ! { cmake -S "$ROOT" -B "$build" -DPTRAIN_TESTS=ON &&
    cmake --build "$build" -j "$(build_jobs)" --target test_stage &&
    cmake --install "$build" --strip --prefix "$BUNDLE"; } >"$log" 2>&1; then build_failed "$log"; fi
  ldd "$BUNDLE/bin/ptrain-stage" | grep -qF "=> $TORCH/lib/libtorch.so " ||
    die "$EXIT_NEGATIVE" "the installed ptrain-stage takes another libtorch than the one in $TORCH"
  cp "$build/tests/test_stage" "$(command -v jq)" "$BUNDLE/bin/"
  strip "$BUNDLE/bin/test_stage"
  rm -rf "$BUNDLE"/share/{man,bash-completion,zsh,fish} "$BUNDLE/lib/systemd"
  mkdir -p "$BUNDLE/share/ptrain/tests/bench" "$BUNDLE/lib/bundle"
  cp "$TESTS/gpu.sh" "$TESTS/gpu_memory.py" "$BUNDLE/share/ptrain/tests/"
  cp "$TESTS/bench/torch_peer.py" "$BUNDLE/share/ptrain/tests/bench/"
  libraries_of "$BUNDLE"/bin/* | while read -r library; do cp -L "$library" "$BUNDLE/lib/bundle/"; done
  size=$(du -sm --apparent-size "$BUNDLE" | cut -f 1)
  say "$BUNDLE: $size MiB"
  ((size <= MOST_BUNDLE_MIB)) || die "$EXIT_IO" "the bundle has $size MiB, more than $MOST_BUNDLE_MIB"
  printf '%s\n' "$BUNDLE/share/ptrain/tests/gpu.sh"
}

# Programs that find the libraries of a bundle, and libtorch where it is here. Only they do: the
# system's own would find libraries that are not theirs.
wrap_programs() {
  local bin=$TEMP_FOLDER/bin program libraries=$LIBRARIES:$TORCH/lib:${TORCH%/*}/torch.libs
  [[ -n $TORCH ]] || die "$EXIT_UNAVAILABLE" "$PYTHON has no PyTorch, whose libtorch the programs need"
  mkdir -p "$bin"
  for program in "$ROOT"/../../bin/*; do
    # Behind them what is set here: a driver may be found by it alone.
    printf '#!/bin/sh\nexport LD_LIBRARY_PATH=%q\nexec %q "$@"\n' \
      "$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" "$program" >"$bin/$(basename "$program")"
  done
  chmod +x "$bin"/*
  export PTRAIN_BIN=$bin
}

# --- what is here ---

python_sees_device() {
  [[ -n $TORCH ]] && "$PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null
}

# Sets DEVICES, as ptrain-stage names them: "cuda:0", or "cuda:0 to cuda:3".
find_devices() {
  local version
  version=$(ptrain-stage --version) || die "$EXIT_UNAVAILABLE" "ptrain-stage does not start here (see above)"
  DEVICES=$(sed -n 's/^devices .*), //p' <<<"$version")
  if [[ $REHEARSAL == yes || $DEVICES != 'no cuda'* ]]; then return; fi
  if python_sees_device; then
    die "$EXIT_NEGATIVE" "PyTorch sees a CUDA device here, and ptrain-stage says: $DEVICES"
  fi
  printf '1..0 # SKIP %s\n' "$DEVICES"
  exit "$EXIT_TRY_AGAIN"
}

write_jobs() {
  head -c 200000 "$RECIPES/corpus/alice.txt" >"$TEMP_FOLDER/text"
  ptrain-data encode --tokenizer bytes --val-fraction 0.1 --out "$TEMP_FOLDER/data" \
    "$TEMP_FOLDER/text" >/dev/null
  local -a small=(--layers 6 --hidden 256 --heads 8 --ffn 688 --vocab 256 --tokens 128 --batch 8)
  SMALL_TOKENS=128
  LARGE=(--layers 12 --hidden 768 --heads 12 --ffn 2048 --vocab 50304 --tokens 1024 --batch 8)
  if [[ $REHEARSAL == yes ]]; then
    small=(--layers 6 --hidden 32 --heads 8 --ffn 64 --vocab 256 --tokens 32 --batch 8)
    SMALL_TOKENS=32
    LARGE=(--layers 2 --hidden 64 --heads 2 --ffn 128 --vocab 4096 --tokens 64 --batch 4)
  fi
  write_job small.toml "${small[@]}"
  write_job large.toml "${LARGE[@]}"
  # Several queries share a key, as today's models have it, and a step has several microbatches.
  sed -i 's/^num_key_value_heads.*/num_key_value_heads = 4/; s/^micro.*/micro = 2/' "$TEMP_FOLDER/small.toml"
}

write_job() {  # write_job NAME, then the options of tests/bench/torch_peer.py
  cat >"$TEMP_FOLDER/$1" <<TOML
[model]
num_hidden_layers = $3
hidden_size = $5
num_attention_heads = $7
num_key_value_heads = $7
intermediate_size = $9
vocab_size = ${11}

[data]
train = "$TEMP_FOLDER/data/train_*.bin"
val = "$TEMP_FOLDER/data/val_*.bin"
seq_len = ${13}

[batch]
global = ${15}
micro = ${15}

[train]
steps = $STEPS
seed = 3

[optim]
schedule = "constant"
warmup_steps = 4

[eval]
sequences = 8
TOML
}

# --- words for the tests, which run in the temporary folder ---

# skip REASON: the test that calls it is not possible here.
skip() {
  echo "$1"
  exit "$EXIT_TRY_AGAIN"
}

# run JOB FOLDER STAGES [OPTION]...: on the device, unless an option says where
run() {
  local job=$1 folder=$2 stages=$3
  shift 3
  if [[ " $* " != *' --device '* ]]; then set -- "$@" --device "$DEVICE"; fi
  if [[ $REHEARSAL == yes ]]; then set -- "$@" --threads 1; fi
  timeout -k 10 "$RUN_LIMIT_S" "$RECIPES/pipeline.sh" --job "$job.toml" --out "$folder" \
    --stages "$stages" --quiet "$@"
}

precision() {  # precision float32|bfloat16: the options of a job, a line each
  printf '%s\n' --set "precision.compute=$1"
  if [[ $1 == bfloat16 ]]; then printf '%s\n' --set wire.forward=bf16 --set wire.backward=bf16; fi
}

# at_once COMMAND -- COMMAND...: all must succeed
at_once() {
  local process code=0
  local -a processes=() command=()
  while (($#)); do
    if [[ $1 != -- ]]; then command+=("$1"); fi
    if [[ $1 == -- || $# -eq 1 ]]; then
      "${command[@]}" &
      processes+=($!) command=()
    fi
    shift
  done
  for process in "${processes[@]}"; do wait "$process" || code=$?; done
  return "$code"
}

weights() { jq -er .weights_sha256 "$1/result.json"; }
val_loss() { jq -er .val_loss "$1/result.json"; }
first_loss() { jq -ers 'map(select(.step == 1).loss // empty) | .[0]' "$1/metrics.jsonl"; }

# same FOLDER...: they hold the same weights
same() {
  local folder hash first=''
  for folder in "$@"; do
    hash=$(weights "$folder") || return
    echo "$folder: ${hash:0:16}"
    [[ $hash == "${first:=$hash}" ]] || return
  done
}

# near WHAT A B MOST: they differ by at most that part of A
near() {
  echo "$1: $2 and $3"
  awk -v a="$2" -v b="$3" -v most="$4" 'BEGIN { d = a > b ? a - b : b - a; exit !(a > 0 && d <= most * a) }'
}

# --- the tests; later ones use what earlier ones left ---

tests() {
  cat <<'TABLE'
sees        the device is seen, with the libtorch of PyTorch
cuts_wide   one, two and three stages end with the same weights in float32
cuts_narrow one, two and three stages end with the same weights in bfloat16
losses      the losses are the CPU's, in both precisions
mixed       a job computes on the device and on the CPU, either way round
two         two devices end with the weights of one
goes_on     a run goes on bit for bit in another cut, on the CPU, and back
evaluates   a checkpoint has the same loss on the device and on the CPU
full_model  a model that the device has no room for ends with 75 and figures
full_step   a step that the device has no room for ends with 75 and figures
arithmetic  the unit tests of arithmetic hold on the device
large       a model of 160 million parameters: speed and memory beside PyTorch
TABLE
}

sees() {
  local release
  ptrain-stage --version || return
  [[ -n $TORCH ]] || return 0
  release=$("$PYTHON" -c 'import torch; print(torch.__version__)' 2>/dev/null) || return
  echo "PyTorch $release"
  [[ $REHEARSAL == yes || $(ptrain-stage --version) == *"libtorch ${release%%+*}"* ]]
}

cuts() {
  local -a options
  mapfile -t options < <(precision "$1")
  at_once run small "$1-1" 1 "${options[@]}" -- run small "$1-2" 2 "${options[@]}" -- \
    run small "$1-3" 3 "${options[@]}" && same "$1-1" "$1-2" "$1-3"
}
cuts_wide() { cuts float32; }
cuts_narrow() { cuts bfloat16; }

losses() {
  local -a wide narrow
  mapfile -t wide < <(precision float32)
  mapfile -t narrow < <(precision bfloat16)
  at_once run small cpu-float32 1 --device cpu "${wide[@]}" -- \
    run small cpu-bfloat16 1 --device cpu "${narrow[@]}" &&
    near 'float32, first step' "$(first_loss cpu-float32)" "$(first_loss float32-1)" 1e-5 &&
    near 'float32, after the last' "$(val_loss cpu-float32)" "$(val_loss float32-1)" 1e-3 &&
    near 'bfloat16, first step' "$(first_loss cpu-bfloat16)" "$(first_loss bfloat16-1)" 1e-3 &&
    near 'bfloat16, after the last' "$(val_loss cpu-bfloat16)" "$(val_loss bfloat16-1)" 1e-2
}

mixed() {
  at_once run small device-cpu 2 --device "$DEVICE" --device cpu -- \
    run small cpu-device 2 --device cpu --device "$DEVICE" &&
    near 'the CPU last' "$(val_loss float32-1)" "$(val_loss device-cpu)" 1e-3 &&
    near 'the CPU first' "$(val_loss float32-1)" "$(val_loss cpu-device)" 1e-3
}

two() {
  local second=cuda:1
  if [[ $REHEARSAL == yes ]]; then second=cpu; elif [[ $DEVICES != *' to '* ]]; then skip 'there is one device here'; fi
  run small two-devices 2 --device "$DEVICE" --device "$second" && same float32-1 two-devices
}

goes_on() {
  run small gone-on 1 --set train.steps=$((STEPS / 2)) && run small gone-on 2 &&
    same float32-1 gone-on && ptrain-ckpt verify --dir gone-on/ckpt &&
    run small gone-on 2 --set train.steps=$((STEPS + 4)) --device cpu &&
    run small gone-on 1 --set train.steps=$((STEPS + 8)) &&
    jq -e ".steps == $STEPS + 8" gone-on/result.json
}

evaluates() {
  local place loss
  local -a losses=()
  for place in cpu "$DEVICE"; do
    loss=$(timeout "$RUN_LIMIT_S" ptrain-stage eval --checkpoint float32-1/ckpt --data 'data/val_*.bin' \
      --seq-len "$SMALL_TOKENS" --device "$place" --json | jq -er .loss) || return
    losses+=("$loss")
  done
  near 'loss' "${losses[@]}" 1e-5
}

# ends_full FOLDER OPTION...: with 75, and words on how much was needed and how much there is
ends_full() {
  local code=0 said
  said=$(run small "$@" 2>&1) || code=$?
  printf 'code %s: %s\n' "$code" "$said"
  [[ $code -eq $EXIT_TRY_AGAIN && $said =~ memory\ for.*\ needed,\ ([0-9.]+)\ ([GMT]iB)\ available ]]
}

full_model() { ends_full full-model 1 --set model.vocab_size=2000000000; }

# As many sequences as one score for each pair of their tokens fills what is free with.
full_step() {
  local mib sequences
  mib=$(sed -nE 's/.* needed, ([0-9.]+) ([GM])iB available.*/\1 \2/p' full-model/stage-0.log |
    awk '{ print int($1 * ($2 == "G" ? 1024 : 1)) }')
  sequences=$((mib * 1048576 / (8 * 2048 * 2048 * 4) + 1))
  if [[ $REHEARSAL == yes ]]; then sequences=$((sequences * 64)); fi  # the CPU holds no scores
  echo "$mib MiB free: $sequences sequences of 2048 tokens"
  ends_full full-step 1 --set model.num_hidden_layers=1 --set data.seq_len=2048 \
    --set model.max_position_embeddings=2048 --set "batch.global=$sequences" --set "batch.micro=$sequences"
}

arithmetic() {
  local program kind=Cuda
  if [[ $REHEARSAL == yes ]]; then kind=Cpu; fi
  for program in "$PTRAIN_BIN/test_stage" "$PTRAIN_BIN/../tests/test_stage"; do
    if [[ ! -x $program ]]; then continue; fi
    timeout "$RUN_LIMIT_S" "$program" "--gtest_filter=*$kind*" --gtest_brief=1 | tee passed | tail -n 20
    grep -qE '^\[  PASSED  \] [1-9]' passed
    return
  done
  skip 'there is no test_stage: recipes/build.sh --tests builds it'
}

# The most memory that the device holds while COMMAND runs, beyond what it held before.
with_memory() {
  if [[ $REHEARSAL == yes || -z $TORCH ]]; then "$@"; return; fi
  local sampler code=0
  rm -f sampling enough most
  "$PYTHON" "$TESTS/gpu_memory.py" --device "$DEVICE" --until enough >most 2>sampling &
  sampler=$!
  until [[ -s sampling ]]; do sleep 0.1; kill -0 "$sampler" || return; done
  "$@" || code=$?
  touch enough
  wait "$sampler" || return
  return "$code"
}

# speed_of PRECISION: ours
speed_of() {
  local -a options
  mapfile -t options < <(precision "$1")
  with_memory run large "large-$1" 1 --set eval.sequences=1 "${options[@]}" || return
  jq -es "map(select(.tokens_per_s).tokens_per_s) | .[$WARM_UP_STEPS:] | sort | .[length / 2 | floor]" \
    "large-$1/metrics.jsonl"
}

peer() {  # peer MODE: a JSON object
  timeout "$RUN_LIMIT_S" "$PYTHON" "$TESTS/bench/torch_peer.py" --mode "$1" --device "$DEVICE" \
    --threads "$(cores)" --steps $((STEPS - WARM_UP_STEPS)) "${LARGE[@]}"
}

large() {
  local precision mode ours theirs said most
  for precision in float32 bfloat16; do
    ours=$(speed_of "$precision") || { echo "$ours"; return 1; }
    printf '%s: %.0f tokens/s' "$precision" "$ours"
    for mode in $(if [[ -z $TORCH ]]; then :; elif [[ $precision == float32 ]]; then echo fp32; else echo autocast master; fi); do
      theirs=$(peer "$mode") || return
      jq -r --argjson ours "$ours" '", PyTorch \(.mode) \(.tokens_per_s | floor) (ours \($ours / .tokens_per_s * 100 | floor) %"
        + (if .peak_bytes then "; \(.peak_bytes / 1048576 | floor) MiB" else "" end) + ")"' <<<"$theirs" | tr -d '\n'
    done
    echo
    said=$(jq -ers 'map(select(.needed_bytes)) | .[0] | (.needed_bytes - .snapshot_bytes) / 1048576 | floor' \
      "large-$precision/metrics.jsonl") || return
    if [[ -s most ]]; then
      most=$(<most)
      echo "$precision: $most MiB of the device, where the stage had said $said and its libraries"
      ((most <= said * 3 / 2 + 2048)) || return
    fi
  done
}

# --- all of it ---

main() {
  parse_options "$@"
  if [[ -n $BUNDLE ]]; then bundle; return; fi
  make_temp_folder
  if [[ $PYTHON == */* ]]; then PYTHON=$(realpath -s "$PYTHON"); fi  # its tests run elsewhere
  TORCH=$(torch_of_python "$PYTHON") || TORCH=''
  if [[ -d $LIBRARIES ]]; then wrap_programs; fi
  PTRAIN_BIN=$(dirname "$(find_program ptrain-stage)")
  export PTRAIN_BIN PATH=$PTRAIN_BIN:$PATH
  find_devices
  need_tool jq jq
  write_jobs

  local test title number=0 begun output code ends=0
  printf '1..%d\n' "$(tests | wc -l)"
  while read -r test title; do
    number=$((number + 1)) begun=$SECONDS code=0
    if ((begun < LIMIT_S)); then
      output=$(cd "$TEMP_FOLDER" && "$test" 2>&1 </dev/null) || code=$?
    else
      output="not begun within $LIMIT_S s" code=1
    fi
    case $code in
      0) printf 'ok %d %s, %s\n' "$number" "$title" "$(duration $((SECONDS - begun)))" ;;
      "$EXIT_TRY_AGAIN") printf 'ok %d %s # skip %s\n' "$number" "$title" "$output"; continue ;;
      *) printf 'not ok %d %s, %s\n' "$number" "$title" "$(duration $((SECONDS - begun)))"; ends=$EXIT_NEGATIVE ;;
    esac
    printf '%s\n' "$output" | sed 's/^/# /'
  done < <(tests)
  printf '# %s on %s\n' "$(duration "$SECONDS")" "$DEVICES"
  exit "$ends"
}

main "$@"
