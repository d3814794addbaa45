#!/usr/bin/env bash
# Tokens per second of training against PyTorch, as ratios within one interleaved run.
# shellcheck source=../../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../recipes/lib.sh"

readonly WARM_UP_STEPS=3  # left out of the medians
readonly BENCH=$ROOT/tests/bench
# Where Debian keeps the OpenMP build of OpenBLAS, the fastest that the peer can have.
readonly OPENBLAS_FOLDERS=(/usr/lib/*/openblas-openmp)

usage() {
  cat <<'TEXT'
usage: train_throughput.sh [--rounds N] [--steps N] [--torch PYTHON] [--held ISA] [--out FILE]

Trains 8 layers of width 256 with 4 heads, sequences of 256, batches of 8, a vocabulary of
4096: forward, backward, clipping and AdamW. Every round runs, one after another,

  peer    python3-torch with OpenBLAS's OpenMP build and OPENBLAS_CORETYPE, in bfloat16 by
          autocast and with bfloat16 weights (the faster one counts)
  one     one ptrain-stage process on all cores
  split   two ptrain-stage processes with half of the cores each, on batches of 64 in
          microbatches of 2, and `whole`, one process on the same batches

in float32 and in bfloat16. Prints a table and, with --out, one JSON object with the medians
over the rounds: tokens per second, ratios, the share of a step that is neither computation
nor waiting, peak memory against its bound, and the balance of the split: the mean computation
of its two stages over the larger one. No split is faster than its balance: eight layers and
a head, which costs as much as a layer and a third, do not halve.

With --torch a current PyTorch runs in every round as well, with its own attention and fused AdamW:

  eager       as it is
  compiled    by torch.compile
  products    the matrix products of the linear layers alone: no training that uses this PyTorch's
              library for them is faster
  on_current  ptrain built against that libtorch, as `one`

bf16_current is the fastest of its four ways in bfloat16: eager or compiled, autocast or master.

With --held the libraries are held to a part of the processor's instructions, as on an older one,
and only `one` is run. bf16_to_fp32 is then what matters: what bfloat16 gains or loses there.

  --rounds N      default 3
  --steps N       measured steps of each run, default 10
  --torch PYTHON  a python that has PyTorch 2.7 or newer; ptrain is built against it first
                  (recipes/build.sh)
  --held ISA      avx2, as without AVX-512; or avx512, as with AVX-512 but no bfloat16 instructions
  --out FILE      the numbers as JSON
TEXT
}

ROUNDS=3 STEPS=10 HELD='' OUT='' CURRENT='' CURRENT_BIN=''

hold() {  # hold ISA: libtorch and the kernels, oneDNN, OpenBLAS
  HELD=$1
  case $1 in
    avx2) export ATEN_CPU_CAPABILITY=avx2 DNNL_MAX_CPU_ISA=AVX2 OPENBLAS_CORETYPE=Haswell ;;
    avx512) export ATEN_CPU_CAPABILITY=avx512 DNNL_MAX_CPU_ISA=AVX512_CORE OPENBLAS_CORETYPE=SkylakeX ;;
    *) die_usage "--held $1: expected avx2 or avx512" ;;
  esac
}

parse_options() {
  while (($#)); do
    case $1 in
      --rounds) need_value "$@"; need_count "$1" "$2" 1 100; ROUNDS=$2; shift ;;
      --steps) need_value "$@"; need_count "$1" "$2" 1 1000; STEPS=$2; shift ;;
      --torch) need_value "$@"; CURRENT=$2; shift ;;
      --held) need_value "$@"; hold "$2"; shift ;;
      --out) need_value "$@"; OUT=$2; shift ;;
      -h | --help) usage; exit 0 ;;
      *) die_usage "unknown argument: $1" ;;
    esac
    shift
  done
}

write_job() {
  local encode
  encode=$(find_program ptrain-data)
  "$encode" encode --tokenizer bytes --val-fraction 0.01 --out "$TEMP_FOLDER/data" \
    "$RECIPES"/corpus/*.txt >/dev/null 2>&1
  cat >"$TEMP_FOLDER/job.toml" <<TOML
[model]
vocab_size = 4096
hidden_size = 256
intermediate_size = 688
num_hidden_layers = 8
num_attention_heads = 4

[data]
train = "$TEMP_FOLDER/data/train_*.bin"
val = "$TEMP_FOLDER/data/val_*.bin"
seq_len = 256

[batch]
global = 8
micro = 8

[train]
steps = $((STEPS + WARM_UP_STEPS))
seed = 1

[eval]
sequences = 1
TOML
}

# add NAME VALUE: one measurement; the medians are taken at the end.
add() { printf '%s %s\n' "$1" "$2" >>"$TEMP_FOLDER/measured"; }

peer() {  # peer NAME MODE
  local folder=${OPENBLAS_FOLDERS[0]} result
  local -a environment=(env "LD_LIBRARY_PATH=$folder")
  if grep -q avx512bw /proc/cpuinfo; then environment+=(OPENBLAS_CORETYPE=SkylakeX); fi
  result=$("${environment[@]}" /usr/bin/python3 "$BENCH/torch_peer.py" --mode "$2" \
    --threads "$(cores)" --steps "$STEPS")
  add "$1" "$(jq .tokens_per_s <<<"$result")"
}

# current NAME MODE [OPTION]...: the other PyTorch. What it compiles, it compiles once.
current() {
  local name=$1 result
  result=$(TORCHINDUCTOR_CACHE_DIR=$TEMP_FOLDER/inductor "$CURRENT" "$BENCH/torch_peer.py" --own \
    --mode "$2" "${@:3}" --threads "$(cores)" --steps "$STEPS" 2>"$TEMP_FOLDER/log") ||
    die "$EXIT_UNAVAILABLE" "$CURRENT: $(tail -n 3 "$TEMP_FOLDER/log")" \
      "torch.compile needs g++ and the headers of that python"
  add "$name" "$(jq .tokens_per_s <<<"$result")"
}

# ours NAME STAGES THREADS [--set KEY=VALUE]...
ours() {
  local name=$1 stages=$2 threads=$3 out=$TEMP_FOLDER/run
  shift 3
  rm -rf "$out"
  "$RECIPES/pipeline.sh" --job "$TEMP_FOLDER/job.toml" --stages "$stages" --threads "$threads" \
    --out "$out" "$@" >"$TEMP_FOLDER/log" 2>&1 ||
    die "$EXIT_NEGATIVE" "$name did not train: $(tail -n 3 "$TEMP_FOLDER/log")"
  measure() {  # measure FIELD: its median over the steps
    jq -s "map(select(.tokens_per_s)) | .[$WARM_UP_STEPS:] | map($1) | sort | .[length / 2 | floor]" \
      "$out/metrics.jsonl"
  }
  add "$name" "$(measure .tokens_per_s)"
  add "${name}_outside" "$(measure '1 - (.compute_s + .wait_s) / .step_s')"
  add "${name}_peak_rss_bytes" "$(jq -s 'map(.peak_rss_bytes // 0) | max' "$out/metrics.jsonl")"
  if ((stages == 2)); then add "${name}_balance" "$(balance "$out")"; fi
}

# balance FOLDER: of the computation of two stages
balance() {
  jq -s --slurpfile other "$1/stage-1.metrics.jsonl" '
    [., $other] | map(map(.compute_s // 0) | add) | add / 2 / max' "$1/metrics.jsonl"
}

# memory NAME PRECISION: the bound on the memory of `one`.
memory() {
  local profile
  profile=$("$ROOT/build/release/tests/bench_stage_profile" --precision "$2" --steps 1)
  add "$1_rss_bound_bytes" "$(jq .rss_bound_bytes <<<"$profile")"
}

round() {
  local -a bf16=(--set precision.compute=bfloat16 --set wire.forward=bf16 --set wire.backward=bf16)
  local -a large=(--set batch.global=64 --set batch.micro=2)
  local half=$(($(cores) / 2)) mode
  if [[ -n $HELD ]]; then
    ours fp32_one 1 "$(cores)"
    ours bf16_one 1 "$(cores)" "${bf16[@]}"
    return
  fi
  peer fp32_peer fp32
  ours fp32_one 1 "$(cores)"
  if [[ -n $CURRENT ]]; then
    current fp32_eager fp32
    current fp32_compiled fp32 --compile
    current fp32_products fp32 --products
    PTRAIN_BIN=$CURRENT_BIN ours fp32_on_current 1 "$(cores)"
  fi
  peer bf16_peer_autocast autocast
  peer bf16_peer_master master
  ours bf16_one 1 "$(cores)" "${bf16[@]}"
  if [[ -n $CURRENT ]]; then
    for mode in autocast master; do
      current "bf16_eager_$mode" "$mode"
      current "bf16_compiled_$mode" "$mode" --compile
    done
    PTRAIN_BIN=$CURRENT_BIN ours bf16_on_current 1 "$(cores)" "${bf16[@]}"
  fi
  ours fp32_whole 1 "$(cores)" "${large[@]}"
  ours fp32_split 2 "$half" "${large[@]}"
  ours bf16_whole 1 "$(cores)" "${bf16[@]}" "${large[@]}"
  ours bf16_split 2 "$half" "${bf16[@]}" "${large[@]}"
}

summarise() {
  jq -nR '
    [inputs | split(" ") | {key: .[0], value: .[1] | tonumber}]
    | group_by(.key) | map({key: .[0].key, value: (map(.value) | sort | .[length / 2 | floor])})
    | from_entries
    | .bf16_to_fp32 = .bf16_one / .fp32_one
    | if .fp32_peer then
        .bf16_peer = ([.bf16_peer_autocast, .bf16_peer_master] | max)
        | .fp32_ratio = .fp32_one / .fp32_peer
        | .bf16_ratio = .bf16_one / .bf16_peer
        | .fp32_split_ratio = .fp32_split / .fp32_whole
        | .bf16_split_ratio = .bf16_split / .bf16_whole
      else . end
    | if .fp32_compiled then
        .bf16_current = ([.bf16_eager_autocast, .bf16_eager_master,
                          .bf16_compiled_autocast, .bf16_compiled_master] | max)
        | .fp32_to_eager = .fp32_one / .fp32_eager
        | .fp32_to_compiled = .fp32_one / .fp32_compiled
        | .fp32_on_current_to_compiled = .fp32_on_current / .fp32_compiled
        | .fp32_products_to_compiled = .fp32_products / .fp32_compiled
        | .bf16_to_current = .bf16_one / .bf16_current
        | .bf16_on_current_to_current = .bf16_on_current / .bf16_current
      else . end' "$TEMP_FOLDER/measured"
}

main() {
  parse_options "$@"
  need_tool jq jq
  [[ -n $HELD ]] || /usr/bin/python3 -c 'import torch' 2>/dev/null ||
    die "$EXIT_UNAVAILABLE" "no PyTorch to compare with" "apt-get install python3-torch"
  [[ -d ${OPENBLAS_FOLDERS[0]} ]] ||
    die "$EXIT_UNAVAILABLE" "no OpenMP build of OpenBLAS" "apt-get install libopenblas0-openmp"
  if [[ -n $CURRENT ]]; then CURRENT_BIN=$("$RECIPES/build.sh" --torch "$CURRENT"); fi
  make_temp_folder
  write_job
  local i
  for ((i = 1; i <= ROUNDS; i++)); do
    say "round $i of $ROUNDS"
    round
  done
  memory fp32 fp32
  memory bf16 bf16
  summarise >"$TEMP_FOLDER/summary"
  if [[ -n $OUT ]]; then cp "$TEMP_FOLDER/summary" "$OUT"; fi
  jq -r 'to_entries[] | "\(.key)\t\(.value)"' "$TEMP_FOLDER/summary" | column -t
}

main "$@"
