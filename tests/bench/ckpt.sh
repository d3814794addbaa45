#!/usr/bin/env bash
# Saving, checking and loading checkpoints against dd, sha256sum and PyTorch, as ratios within
# one interleaved run.
# shellcheck source=../../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../recipes/lib.sh"

readonly BENCH=$ROOT/tests/bench
readonly STALL_STEPS=12  # of the run whose saves are behind the training
readonly STALL_WARM_UP=2 # the first saves pay for the memory of the copy

usage() {
  cat <<'TEXT'
usage: ckpt.sh [--mebibytes N] [--rounds N] [--dir FOLDER] [--out FILE]

Every round runs, one after another, on the same number of bytes in the same folder:

  save    a stage's parameters and moments through CheckpointStore, durable when it returns,
          against dd conv=fsync of a file in the page cache, and torch.save with an fsync
  load    every tensor into memory, its hash checked, against torch.load, which checks nothing
  verify  ptrain-ckpt verify --data against sha256sum of the same files, all in the page cache

Then a run saves every step, each step longer than a save: `stall`, the time that the training
stood still for one, against a memory copy of the same state.

Prints a table and, with --out, one JSON object with the medians over the rounds. A ratio above
1 is ours being faster, that of the stall excepted, which is ours over the copy.

  --mebibytes N  size of the state, default 2048
  --rounds N     default 5
  --dir FOLDER   on the disk to measure; a temporary folder unless told
  --out FILE     the numbers as JSON
TEXT
}

MEBIBYTES=2048 ROUNDS=5 FOLDER='' OUT=''

parse_options() {
  while (($#)); do
    case $1 in
      --mebibytes) need_value "$@"; need_count "$1" "$2" 16 65536; MEBIBYTES=$2; shift ;;
      --rounds) need_value "$@"; need_count "$1" "$2" 1 100; ROUNDS=$2; shift ;;
      --dir) need_value "$@"; FOLDER=$2; shift ;;
      --out) need_value "$@"; OUT=$2; shift ;;
      -h | --help) usage; exit 0 ;;
      *) die_usage "unknown argument: $1" ;;
    esac
    shift
  done
}

# add NAME VALUE: one measurement; the medians are taken at the end.
add() { printf '%s %s\n' "$1" "$2" >>"$TEMP_FOLDER/measured"; }

# timed NAME COMMAND...: its seconds, and none of its words unless it fails
timed() {
  local name=$1 begin=$EPOCHREALTIME
  shift
  "$@" >"$TEMP_FOLDER/said" 2>&1 || die "$EXIT_NEGATIVE" "$name failed: $(tail -n 3 "$TEMP_FOLDER/said")"
  add "$name" "$(awk -v begin="$begin" -v end="$EPOCHREALTIME" 'BEGIN { print end - begin }')"
}

round() {
  local ours peer bytes step=$FOLDER/ckpt/step-00000001
  rm -rf "$FOLDER/ckpt"
  ours=$("$ROOT/build/release/tests/bench_ckpt_save" --dir "$FOLDER/ckpt" --mebibytes "$MEBIBYTES")
  bytes=$(jq .bytes <<<"$ours")
  add save_s "$(jq .save_s <<<"$ours")"
  add load_s "$(jq .load_s <<<"$ours")"
  add copy_bytes_per_s "$(jq '.bytes / .copy_s' <<<"$ours")"

  cat "$step"/*.safetensors >"$FOLDER/source"  # in the page cache, and as long
  rm -f "$FOLDER/dd"
  timed dd_s dd "if=$FOLDER/source" "of=$FOLDER/dd" bs=1M conv=fsync
  rm -f "$FOLDER/source" "$FOLDER/dd"
  peer=$(/usr/bin/python3 "$BENCH/torch_ckpt_peer.py" --file "$FOLDER/torch.pt" --bytes "$bytes")
  add torch_save_s "$(jq .save_s <<<"$peer")"
  add torch_load_s "$(jq .load_s <<<"$peer")"
  rm -f "$FOLDER/torch.pt"

  cat "$step"/* >"/dev/null"
  timed verify_s "$CKPT" verify --dir "$FOLDER/ckpt" --data
  timed sha256sum_s sha256sum "$step"/*
}

# The steps are long enough for the save before to be done: what is left is the copy.
stall() {
  local job=$TEMP_FOLDER/job.toml metrics=$TEMP_FOLDER/metrics.jsonl bytes
  "$(find_program ptrain-data)" encode --tokenizer bytes --val-fraction 0.01 \
    --out "$TEMP_FOLDER/data" "$RECIPES"/corpus/*.txt >/dev/null 2>&1
  cat >"$job" <<TOML
[model]
vocab_size = 4096
hidden_size = 256
intermediate_size = 688
num_hidden_layers = 8
num_attention_heads = 4

[data]
train = "$TEMP_FOLDER/data/train_*.bin"
seq_len = 256

[batch]
global = 32
micro = 4

[train]
steps = $STALL_STEPS
seed = 1

[checkpoint]
dir = "$FOLDER/stall"
every = 1
TOML
  "$(find_program ptrain-stage)" run --job "$job" --metrics "$metrics" >"$TEMP_FOLDER/said" 2>&1 ||
    die "$EXIT_NEGATIVE" "the run that saves every step failed: $(tail -n 3 "$TEMP_FOLDER/said")"
  bytes=$(cat "$FOLDER/stall/step-00000001"/*.safetensors | wc -c)
  add stall_s "$(jq -s --argjson from "$STALL_WARM_UP" 'map(select(.kind == "step").checkpoint_stall_s)
    | .[$from:] | sort | .[length / 2 | floor]' "$metrics")"
  add stall_state_bytes "$bytes"
  add stall_step_s "$(jq -s 'map(select(.kind == "step").step_s) | sort | .[length / 2 | floor]' "$metrics")"
  rm -rf "$FOLDER/stall"
}

summarise() {
  jq -nR '
    [inputs | split(" ") | {key: .[0], value: .[1] | tonumber}]
    | group_by(.key) | map({key: .[0].key, value: (map(.value) | sort | .[length / 2 | floor])})
    | from_entries
    | .save_over_dd = .dd_s / .save_s
    | .save_over_torch = .torch_save_s / .save_s
    | .load_over_torch = .torch_load_s / .load_s
    | .verify_over_sha256sum = .sha256sum_s / .verify_s
    | .stall_over_copy = .stall_s / (.stall_state_bytes / .copy_bytes_per_s)' "$TEMP_FOLDER/measured"
}

main() {
  parse_options "$@"
  need_tool jq jq
  /usr/bin/python3 -c 'import torch' 2>/dev/null ||
    die "$EXIT_UNAVAILABLE" "no PyTorch to compare with" "apt-get install python3-torch"
  CKPT=$(find_program ptrain-ckpt)
  make_temp_folder
  if [[ -z $FOLDER ]]; then FOLDER=$TEMP_FOLDER; fi
  FOLDER=$(mktemp -d "$FOLDER/bench-XXXXXX") || die "$EXIT_IO" "no folder can be made in $FOLDER"
  on_exit "rm -rf $(printf %q "$FOLDER")"
  local i
  for ((i = 1; i <= ROUNDS; i++)); do
    say "round $i of $ROUNDS"
    round
  done
  stall
  summarise >"$TEMP_FOLDER/summary"
  if [[ -n $OUT ]]; then cp "$TEMP_FOLDER/summary" "$OUT"; fi
  jq -r 'to_entries[] | "\(.key)\t\(.value)"' "$TEMP_FOLDER/summary" | column -t
}

main "$@"
