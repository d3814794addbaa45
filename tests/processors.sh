#!/usr/bin/env bash
# What the programs do on other processors than this one: old x86-64 ones, which qemu-user plays, and
# this one with its libraries held to AVX2.
# shellcheck disable=SC2317  # the tests are called by their names
# shellcheck source=../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../recipes/lib.sh"

# As qemu names them. It has AVX2 at most, so the last two lack what else they are known for.
readonly EMULATED=(Nehalem Haswell Skylake-Server max)
readonly QUICK=(Haswell held)
# libtorch and the kernels, oneDNN, OpenBLAS: together the AVX2 of a Haswell.
readonly HELD=(ATEN_CPU_CAPABILITY=avx2 DNNL_MAX_CPU_ISA=AVX2 OPENBLAS_CORETYPE=Haswell)
readonly PEER_TIMEOUT_S=300  # emulated, libtorch takes seconds to load, on a busy machine a minute
readonly PROGRAMS=(ptrain-data ptrain-ckpt ptrain-relay ptrain-probe ptrain-punch ptrain-stage)

usage() {
  cat <<TEXT
usage: processors.sh [--quick] [PROCESSOR]...

Runs every program as on each PROCESSOR, under qemu-x86_64: ${EMULATED[*]};
or, for "held", natively with the libraries held to AVX2. By default all of them.

A tiny job, in float32 and in bfloat16, is cut into one and into two stages: the weights of both
cuts must be the same, bit for bit. Prints a TAP line for each test, and ends with 1 where one
failed.

  --quick  ${QUICK[*]}

Example:
  ./tests/processors.sh Nehalem
TEXT
}

CHOSEN=()

parse_options() {
  while (($#)); do
    case $1 in
      --quick) CHOSEN+=("${QUICK[@]}") ;;
      -h | --help) usage; exit 0 ;;
      *)
        [[ " ${EMULATED[*]} held " == *" $1 "* ]] ||
          die_usage "$1: expected --quick, held, or one of ${EMULATED[*]}"
        CHOSEN+=("$1")
        ;;
    esac
    shift
  done
  if ((${#CHOSEN[@]} == 0)); then CHOSEN=("${EMULATED[@]}" held); fi
}

# on PROGRAM [ARGUMENT]...: as on the processor at hand
on() {
  local program
  program=$(find_program "$1")
  if [[ $PROCESSOR == held ]]; then
    env "${HELD[@]}" "$program" "${@:2}"
  else
    qemu-x86_64 -cpu "$PROCESSOR" "$program" "${@:2}"
  fi
}

write_job() {
  head -c 4000 "$RECIPES/corpus/alice.txt" >"$TEMP_FOLDER/text"
  cat >"$TEMP_FOLDER/job.toml" <<'TOML'
[model]
vocab_size = 256
hidden_size = 32
intermediate_size = 64
num_hidden_layers = 2
num_attention_heads = 2
num_key_value_heads = 1

[data]
train = "data/train_*.bin"
val = "data/val_*.bin"
seq_len = 16

[batch]
global = 2
micro = 1

[train]
steps = 2
seed = 5

[optim]
warmup_steps = 1

[eval]
sequences = 1
TOML
}

# --- the tests: each a function, run in the processor's own folder, with the data in ./data ---

tests() {  # tests PROCESSOR
  cat <<'TABLE'
tell_version  every program tells its version
convert       ptrain-data turns text into tokens and back
identify      ptrain-relay makes its key
float32       a job in float32 ends with the same weights in one and two stages
bfloat16      a job in bfloat16 ends with the same weights in one and two stages
check         ptrain-ckpt finds the checkpoint whole
evaluate      a checkpoint is evaluated in bfloat16
sample        a checkpoint continues a text
TABLE
  # Held by its environment, the processor has all the same what it may be asked for.
  if [[ $1 != held ]]; then echo "refuse        instructions that it lacks are refused by name"; fi
}

tell_version() {
  local program
  for program in "${PROGRAMS[@]}"; do [[ $(on "$program" --version) == "$program "* ]] || return; done
}

convert() {
  on ptrain-data encode --tokenizer bytes --val-fraction 0.1 --out data ../text >/dev/null || return
  local shard
  for shard in data/train_*.bin data/val_*.bin; do on ptrain-data decode "$shard" || return; done |
    cmp - ../text
}

identify() { [[ $(on ptrain-relay identity --state relay) =~ [0-9a-f]{64} ]]; }

# stage FOLDER STAGES I [OPTION]...: what it prints and says is FOLDER/I and FOLDER/said-I
stage() {
  local folder=$1 stages=$2 i=$3 s
  shift 3
  mkdir -p "$folder"
  for ((s = 0; s < stages; s++)); do printf 'ipc://%s/%s/s%d\n' "$PWD" "$folder" "$s"; done \
    >"$folder/endpoints-$i"
  on ptrain-stage run --job ../job.toml --endpoints "$folder/endpoints-$i" --stage "$i" --threads 1 \
    --peer-timeout "$PEER_TIMEOUT_S" --set "data.train=$PWD/data/train_*.bin" \
    --set "data.val=$PWD/data/val_*.bin" --set "checkpoint.dir=$PWD/$folder/ckpt" --json "$@" \
    >"$folder/$i" 2>"$folder/said-$i"
}

# trains_alike FOLDER [OPTION]...: one stage, and beside it two, with the same weights
trains_alike() {
  local folder=$1 process code=0 one two
  local -a processes=()
  shift
  stage "$folder-1" 1 0 "$@" & processes+=($!)
  stage "$folder-2" 2 0 "$@" & processes+=($!)
  stage "$folder-2" 2 1 "$@" & processes+=($!)
  for process in "${processes[@]}"; do wait "$process" || code=$?; done
  if ((code > 0)); then cat "$folder"-[12]/said-*; return 1; fi
  one=$(tail -n 1 "$folder-1/0" | jq -r .weights_sha256) || return
  two=$(tail -n 1 "$folder-2/0" | jq -r .weights_sha256) || return
  echo "one stage: $one"
  echo "two stages: $two"
  [[ $one =~ ^[0-9a-f]{64}$ && $one == "$two" ]]
}

float32() { trains_alike float32; }

# None of these processors has instructions for bfloat16, and each stage says so.
bfloat16() {
  trains_alike bfloat16 --set precision.compute=bfloat16 --set wire.forward=bf16 \
    --set wire.backward=bf16 || return
  local said
  for said in bfloat16-[12]/said-*; do
    grep -q 'multiplies bfloat16 in float32' "$said" || { cat "$said"; return 1; }
  done
}

check() { on ptrain-ckpt verify --dir bfloat16-1/ckpt; }

evaluate() {
  local loss
  loss=$(on ptrain-stage eval --checkpoint bfloat16-1/ckpt --data data/val_000000.bin --seq-len 16 \
    --bfloat16 --threads 1 --json | jq .loss) || return
  echo "loss $loss, of two steps: about ln 256"
  awk -v loss="$loss" 'BEGIN { exit !(loss > 5 && loss < 6) }'
}

sample() {
  local text
  text=$(on ptrain-stage sample --checkpoint float32-1/ckpt --prompt Alice --tokens 4 --threads 1 |
    tr -d '\0') || return
  [[ $text == Alice* ]]
}

refuse() {
  local process
  local -a processes=()
  refuses ATEN_CPU_CAPABILITY=avx512 & processes+=($!)
  refuses OPENBLAS_CORETYPE=SkylakeX & processes+=($!)
  for process in "${processes[@]}"; do wait "$process" || return; done
}

refuses() {  # refuses VARIABLE=VALUE
  local code=0 said
  said=$(export "${1?}" && on ptrain-stage identity --key key 2>&1) || code=$?
  echo "$code: $said"
  [[ $code -eq $EXIT_USAGE && $said == *"$1 in the environment: it needs"*avx512* ]]
}

# --- all of it ---

main() {
  parse_options "$@"
  need_tool jq jq
  if [[ ${CHOSEN[*]} != held ]]; then need_tool qemu-x86_64 qemu-user; fi
  if [[ $(uname -m) != x86_64 ]]; then
    die "$EXIT_UNAVAILABLE" "this is not an x86-64 machine, whose programs the tests run"
  fi
  unset "${HELD[@]%%=*}"  # they are of the processor that runs the tests
  make_temp_folder
  write_job

  local test title number=0 begun output code=0
  printf '1..%d\n' "$(for PROCESSOR in "${CHOSEN[@]}"; do tests "$PROCESSOR"; done | wc -l)"
  for PROCESSOR in "${CHOSEN[@]}"; do
    mkdir -p "$TEMP_FOLDER/$PROCESSOR"
    while read -r test title; do
      number=$((number + 1)) begun=$SECONDS
      if output=$(cd "$TEMP_FOLDER/$PROCESSOR" && "$test" 2>&1 </dev/null); then
        printf 'ok %d %s: %s, %s\n' "$number" "$PROCESSOR" "$title" \
          "$(duration $((SECONDS - begun)))"
      else
        code=$EXIT_NEGATIVE
        printf 'not ok %d %s: %s\n' "$number" "$PROCESSOR" "$title"
        # qemu says of every feature that it lacks it.
        grep -v "^qemu-x86_64: warning: TCG doesn't support" <<<"$output" | sed 's/^/# /' || true
      fi
    done < <(tests "$PROCESSOR")
  done
  exit "$code"
}

main "$@"
