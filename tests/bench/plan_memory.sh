#!/usr/bin/env bash
# How near the memory that a plan has for each stage comes to what the stage takes.
# shellcheck source=../../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../recipes/lib.sh"
# shellcheck source=bounds.bash
. "$ROOT/tests/bench/bounds.bash"

usage() {
  cat <<'TEXT'
usage: plan_memory.sh [--hidden N] [--layers N] [--steps N] [--out FILE] [--check] [--from FILE]

On this machine: measures how fast it computes a job (ptrain-probe compute), plans the job for one
such host and for two that are alike, with fast links between them, and trains by each plan. Prints
for each stage a line of JSON: the memory that the plan had for it, the most that was resident, and
the ratio of the two.

  --hidden N  the width of the model, default 512; a multiple of 64
  --layers N  default 8
  --steps N   of training, default 4
  --out FILE  the numbers as JSON
  --check     print instead for each stage whether they are at most 10 % apart (TAP); end with 1
              where not
  --from FILE check those numbers of another time, and measure nothing

Example:
  ./tests/bench/plan_memory.sh --hidden 256 --steps 2
TEXT
}

HIDDEN=512 LAYERS=8 STEPS=4 CHECK=no FROM='' OUT=''

parse_options() {
  while (($#)); do
    case $1 in
      --hidden) need_value "$@"; need_count "$1" "$2" 64 8192; HIDDEN=$2; shift ;;
      --layers) need_value "$@"; need_count "$1" "$2" 2 128; LAYERS=$2; shift ;;
      --steps) need_value "$@"; need_count "$1" "$2" 1 1000; STEPS=$2; shift ;;
      --out) need_value "$@"; OUT=$2; shift ;;
      --check) CHECK=yes ;;
      --from) need_value "$@"; FROM=$2; shift ;;
      -h | --help) usage; exit 0 ;;
      *) die_usage "unknown argument: $1" ;;
    esac
    shift
  done
  if ((HIDDEN % 64)); then die_usage "--hidden $HIDDEN: expected a multiple of 64"; fi
}

write_job() {
  "$(find_program ptrain-data)" encode --tokenizer bytes --out data "$RECIPES"/corpus/*.txt >/dev/null 2>&1
  cat >job.toml <<TOML
[model]
vocab_size = 256
hidden_size = $HIDDEN
intermediate_size = $((HIDDEN * 8 / 3))
num_hidden_layers = $LAYERS
num_attention_heads = $((HIDDEN / 64))

[data]
train = "$PWD/data/train_*.bin"
seq_len = 256

[batch]
global = 8
micro = 1

[train]
steps = $STEPS
seed = 1
TOML
}

measure_host() {
  jq -n '{kind: "links", version: 1, time_s: now, sites: [{from: "here", to: "here", round_trip_s: 0.0001, rate_bytes_per_s: 1e9}],
    hosts: [("east", "west") | {name: ., site: "here", out_bytes_per_s: 1e9, in_bytes_per_s: 1e9}]}' >links.json
  "$PROBE" compute --job job.toml --host east --seconds 2 --json --quiet >one.jsonl
  { cat one.jsonl; jq -c '.host = "west"' one.jsonl; } >two.jsonl
}

# train NAME: by the plan for the hosts of NAME.jsonl; a line for each stage
train() {
  local stage=0 metrics
  "$PROBE" plan --job job.toml --links links.json --compute "$1.jsonl" --json >"$1.json"
  "$RECIPES/pipeline.sh" --job job.toml --plan "$1.json" --out "out-$1" --quiet ||
    die "$EXIT_NEGATIVE" "the plan for $1 did not train"
  for metrics in "out-$1/metrics.jsonl" "out-$1"/stage-*.metrics.jsonl; do
    if [[ ! -e $metrics ]]; then continue; fi
    jq -sc --slurpfile plan "$1.json" --argjson stage "$stage" '
      ($plan[0].explanation.stages | length) as $stages | $plan[0].explanation.stages[$stage].memory_bytes as $planned |
      (map(.peak_rss_bytes // 0) | max) as $peak |
      {stages: $stages, stage: $stage, planned_bytes: $planned, peak_rss_bytes: $peak, ratio: ($planned / $peak)}' \
      "$metrics"
    stage=$((stage + 1))
  done
}

readonly BOUNDS='{what: "stage \(.stage) of \(.stages): memory within 10 %: planned \(.ratio * 1000 | round / 1000) of what it took",
  holds: (.ratio >= 0.9 and .ratio <= 1.1)}'

measure() {
  PROBE=$(find_program ptrain-probe)
  write_job
  measure_host
  train one
  train two
}

main() {
  parse_options "$@"
  if [[ $OUT ]]; then OUT=$(realpath "$OUT"); fi
  if [[ $FROM ]]; then FROM=$(realpath "$FROM"); fi
  make_temp_folder
  cd "$TEMP_FOLDER"
  if [[ $FROM ]]; then
    jq -c '.[]' "$FROM" >measured || die "$EXIT_IO" "--from $FROM cannot be read"
  else
    measure >measured
  fi
  if [[ $OUT ]]; then jq -s . measured >"$OUT"; fi
  if [[ $CHECK == yes ]]; then judge measured "$BOUNDS"; else cat measured; fi
}

main "$@"
