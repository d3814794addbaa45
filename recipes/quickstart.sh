#!/usr/bin/env bash
# From a fresh Debian 12 or 13 to a language model that was trained over four pipeline stages.
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly STAGES=4
readonly SEQ_LEN=256  # of the evaluation, as in the job
readonly PROMPT='The Rabbit'
readonly CHARACTERS=400

usage() {
  cat <<'TEXT'
usage: quickstart.sh [--out FOLDER] [--set KEY=VALUE]... [--quiet]

Installs the packages that are missing (recipes/install-deps.sh), builds
ptrain-stage and ptrain-data, makes tokens of the texts in recipes/corpus, trains
recipes/jobs/quickstart.toml over four stages on this machine, evaluates the
model, draws its loss curve and lets it write.

  --out FOLDER     where everything goes (default: out/quickstart)
  --set KEY=VALUE  another value for one key of the job; may be given again
  -q, --quiet      say nothing but errors; the result is printed all the same

Interrupted, or given the same FOLDER again, it goes on where it was.

Example:
  ./recipes/quickstart.sh
TEXT
}

OUT=out/quickstart
JOB=$RECIPES/jobs/quickstart.toml
OVERRIDES=()

parse_options() {
  while (($#)); do
    case $1 in
      --out) need_value "$@"; OUT=$2; shift ;;
      --set) need_value "$@"; OVERRIDES+=(--set "$2"); shift ;;
      -q | --quiet) QUIET=(--quiet) ;;
      -h | --help) usage; exit 0 ;;
      *) die_usage "unknown argument: $1" ;;
    esac
    shift
  done
}

# part WHAT COMMAND...: says what begins, does it, notes how long it took.
TIMES=''
part() {
  local what=$1 begun=$SECONDS
  shift
  say "$what"
  "$@"
  TIMES+="${TIMES:+, }${what%%:*} $(duration $((SECONDS - begun)))"
}

# An installed copy of the recipes comes with its programs, and so does a PTRAIN_BIN.
build() {
  if [[ -z ${PTRAIN_BIN-} && -f $ROOT/CMakeLists.txt ]]; then build_programs "$OUT/build.log" ptrain-stage ptrain-data; fi
}

# Once: the tokens of a run that goes on must not change under it.
encode() {
  if [[ -f $OUT/data/train_000000.bin && -f $OUT/data/val_000000.bin ]]; then return; fi
  child "$(find_program ptrain-data)" encode --tokenizer bytes --val-fraction 0.1 --out "$OUT/data" \
    "$RECIPES"/corpus/*.txt >"$OUT/encode.log"
}

# The steps of the run: the job's, or what --set says last.
count_steps() {
  local steps word
  steps=$(sed -n 's/^steps *= *\([0-9]*\).*/\1/p' "$JOB")
  for word in "${OVERRIDES[@]}"; do
    if [[ $word =~ ^train\.steps=([0-9]+)$ ]]; then steps=${BASH_REMATCH[1]}; fi
  done
  printf '%s' "$steps"
}

# Says once, when the first steps are done, how long it will take. Stage 0 rewrites its own line on
# a terminal, where ours stands above it.
say_time_to_go() {
  local seconds
  seconds=$(foretell "$OUT/metrics.jsonl" "$(count_steps)" "$1")
  if [[ -t 2 ]] && ((${#QUIET[@]} == 0)); then printf '\r\033[K' >&2; fi
  say "the training will take about $(about "$seconds") here"
}

train() {
  local foreteller
  say_time_to_go "$(last_line "$OUT/metrics.jsonl")" &
  foreteller=$!
  on_exit "kill $foreteller 2>/dev/null || true"
  child "$RECIPES/pipeline.sh" --job "$JOB" --stages "$STAGES" --out "$OUT" \
    --set "data.train=$OUT/data/train_*.bin" --set "data.val=$OUT/data/val_*.bin" \
    "${QUIET[@]}" "${OVERRIDES[@]}"
  kill "$foreteller" 2>/dev/null || true  # a run that had no more than a few steps to do
}

evaluate() {
  child "$STAGE" eval --checkpoint "$OUT/ckpt" --data "$OUT"/data/val_*.bin --seq-len "$SEQ_LEN" --json \
    >"$OUT/eval.json"
}

draw() {
  child "$RECIPES/plot.sh" "$OUT/metrics.jsonl" -o "$OUT/loss.png" --title "quickstart: $STAGES stages"
}

show_result() {
  printf '\n'
  printf 'validation loss   %.3f nats per byte, on the last tenth of each text\n' \
    "$(json_field "$OUT/eval.json" loss)"
  printf 'loss curve        %s\n' "$OUT/loss.png"
  printf 'weights           %s\n' "$OUT/ckpt"
  printf 'time              %s\n' "$TIMES"
  printf '\nWhat it writes:\n\n'
  child "$STAGE" sample --checkpoint "$OUT/ckpt" --prompt "$PROMPT" --tokens "$CHARACTERS" \
    --temperature 0.8 --top-k 40 --seed 1
  printf '\n'
}

main() {
  parse_options "$@"
  mkdir -p "$OUT" || die "$EXIT_IO" "folder $OUT cannot be made"
  OUT=$(cd "$OUT" && pwd)
  part 'packages' child "$RECIPES/install-deps.sh" "${QUIET[@]}" run
  part 'build: ptrain-stage and ptrain-data, some minutes the first time' build
  STAGE=$(find_program ptrain-stage)
  part 'tokens: of the texts in recipes/corpus' encode
  part "training: $STAGES stages on this machine" train
  part 'evaluation' evaluate
  part 'picture' draw
  show_result
}

main "$@"
