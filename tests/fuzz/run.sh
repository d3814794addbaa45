#!/usr/bin/env bash
# Builds the fuzzers with clang's libFuzzer, ASan and UBSan, and runs each for a bounded time,
# starting from its corpus and from what earlier runs found (out/fuzz/corpus). Prints a TAP line for
# each; what broke one is kept in out/fuzz.
# shellcheck source=../../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../recipes/lib.sh"

readonly MEMORY_MIB=1024  # a parser that wants more has believed a length it should not have
readonly INPUT_TIMEOUT_S=10

usage() {
  cat <<'TEXT'
usage: run.sh [--seconds N] [--jobs N] [NAME_fuzz]...

Fuzzes each parser for N seconds (default 15), or only the ones that are named, --jobs of them at a
time: by default as many as there are processors.

Example:
  ./tests/fuzz/run.sh --seconds 3600 shard_fuzz
TEXT
}

SECONDS_EACH=15 JOBS='' FUZZERS=()

parse_options() {
  while (($#)); do
    case $1 in
      --seconds) need_value "$@"; need_count "$1" "$2" 1 86400; SECONDS_EACH=$2; shift ;;
      --jobs) need_value "$@"; need_count "$1" "$2" 1 1024; JOBS=$2; shift ;;
      -h | --help) usage; exit 0 ;;
      *_fuzz) FUZZERS+=("$1") ;;
      *) die_usage "unknown argument: $1" ;;
    esac
    shift
  done
  if [[ -z $JOBS ]]; then JOBS=$(build_jobs); fi
  local source
  if ((${#FUZZERS[@]} == 0)); then
    for source in "$ROOT"/tests/fuzz/*_fuzz.cc; do FUZZERS+=("$(basename "$source" .cc)"); done
  fi
  for source in "${FUZZERS[@]}"; do
    if [[ ! -f $ROOT/tests/fuzz/$source.cc ]]; then die_usage "there is no tests/fuzz/$source.cc"; fi
  done
}

build_fuzzers() {
  local log=$TEMP_FOLDER/build.log
  if (cd "$ROOT" && cmake --preset asan && cmake --build --preset asan -j "$JOBS" --target "${FUZZERS[@]}") \
    >"$log" 2>&1; then return; fi
  tail -n 30 "$log" >&2
  die "$EXIT_IO" "the fuzzers do not build (the last lines are above)"
}

# What a run finds new is kept beside the corpus of the checkout, which changes by hand only, and is
# where the next run goes on.
fuzz() {
  local name=$1 found=$ROOT/out/fuzz/corpus/$1 kept=$ROOT/out/fuzz/$1
  mkdir -p "$found" "$kept"
  local -a seeds=("$found")
  if [[ -d $ROOT/tests/fuzz/corpus/$name ]]; then seeds+=("$ROOT/tests/fuzz/corpus/$name"); fi
  "${LISTENING[@]}" "$ROOT/build/asan/tests/$name" "${seeds[@]}" -max_total_time="$SECONDS_EACH" \
    -timeout="$INPUT_TIMEOUT_S" -rss_limit_mb="$MEMORY_MIB" -artifact_prefix="$kept/" \
    -print_final_stats=1 >"$TEMP_FOLDER/$name.log" 2>&1
}

main() {
  parse_options "$@"
  make_temp_folder
  build_fuzzers
  local i next=0 name code=0 runs
  local -a pids=()
  printf '1..%d\n' "${#FUZZERS[@]}"
  for i in "${!FUZZERS[@]}"; do
    while ((next < i + JOBS && next < ${#FUZZERS[@]})); do
      fuzz "${FUZZERS[next]}" &
      pids+=($!)
      next=$((next + 1))
    done
    name=${FUZZERS[i]}
    if wait "${pids[i]}"; then
      runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$TEMP_FOLDER/$name.log")
      printf 'ok %d %s, %s inputs\n' "$((i + 1))" "$name" "$runs"
    else
      code=$EXIT_NEGATIVE
      printf 'not ok %d %s\n' "$((i + 1))" "$name"
      tail -n 40 "$TEMP_FOLDER/$name.log" | sed 's/^/# /'
    fi
  done
  exit "$code"
}

main "$@"
