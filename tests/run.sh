#!/usr/bin/env bash
# Every test of the project: installs what is missing, builds, runs, counts.
# shellcheck source=../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../recipes/lib.sh"
# shellcheck source=tally.sh
. "$ROOT/tests/tally.sh"

readonly SUITES=(unit cli net style asan fuzz)
readonly MOST_JOBS=2  # measured tests and a small machine both suffer from more
readonly FUZZ_SECONDS=15
# Of a suite of bats files, those that measure links run alone, and these beside the rest: neither side
# takes a port that the other has chosen for itself.
declare -rA ALONE=([cli]=lab [net]='fetch probe probe_matrix probe_nat')
declare -rA BESIDE=(
  [cli]='averages build ckpt data hf kills man_examples nightly pipeline plan planned plot processors recipes
    reference train'
  [net]='lab_nat punch punch_paths slurm ssh'
)

usage() {
  cat <<'TEXT'
usage: run.sh [--quick] [--only SUITE]...

Installs the packages that are missing, builds the release preset, and runs:

  unit   GoogleTest programs, by ctest
  cli    the programs and recipes from outside, by bats
  net    programs on hosts of a laboratory of network namespaces, by bats; needs root
  style  scripts, sources and manual pages against the house's rules, by bats
  asan   the unit tests of everything but ptrain-stage under ASan and UBSan
  fuzz   each fuzzer for 15 seconds

  --quick       leave out asan and fuzz
  --only SUITE  this suite alone; may be given again

The last line is "N passed, M failed, K skipped". Ends with 0 when nothing failed.

Example:
  ./tests/run.sh --only unit --only cli
TEXT
}

CHOSEN=()

parse_options() {
  while (($#)); do
    case $1 in
      --quick) CHOSEN=(unit cli net style) ;;
      --only)
        need_value "$@"
        [[ " ${SUITES[*]} " == *" $2 "* ]] || die_usage "--only $2: expected one of ${SUITES[*]}"
        CHOSEN+=("$2")
        shift
        ;;
      -h | --help) usage; exit 0 ;;
      *) die_usage "unknown argument: $1" ;;
    esac
    shift
  done
  if ((${#CHOSEN[@]} == 0)); then CHOSEN=("${SUITES[@]}"); fi
}

# --- the suites ---

build() {  # build PRESET TARGET [CMAKE-OPTION]...
  local preset=$1 target=$2 log=$TEMP_FOLDER/build-$1.log
  shift 2
  say "building $preset"
  if (cd "$ROOT" && cmake --preset "$preset" "$@" &&
    cmake --build --preset "$preset" -j "$JOBS" --target "$target") >"$log" 2>&1; then return; fi
  tail -n 40 "$log" >&2
  failed "the $preset build"
  return 1
}

# What the sanitizers' suites need is compiled beside the suites before them, which wait for clocks
# and links, by what those leave of the processors (SCHED_IDLE): it takes nothing from a test.
AHEAD=''  # the process, while it may be at work

build_ahead() {
  if [[ " ${CHOSEN[*]} " != *" asan "* && " ${CHOSEN[*]} " != *" fuzz "* ]]; then return; fi
  (cd "$ROOT" && cmake --preset asan) >"$TEMP_FOLDER/ahead.log" 2>&1 || return 0  # suite_asan says why
  setpriv --pdeathsig TERM chrt --idle 0 ninja -C "$ROOT/build/asan" -j "$JOBS" ptrain_tests \
    </dev/null >"$TEMP_FOLDER/ahead.log" 2>&1 &
  AHEAD=$!
}

await_build_ahead() {
  if [[ -z $AHEAD ]]; then return; fi
  say "building asan"
  chrt --other --pid 0 "$AHEAD" >/dev/null 2>&1 || true  # now it is what is waited for
  wait "$AHEAD" || true
  AHEAD=''
}

run_ctest() {  # run_ctest PRESET
  local reports=$TEMP_FOLDER/gtest-$1 junit=$TEMP_FOLDER/ctest-$1.xml
  mkdir -p "$reports"
  GTEST_OUTPUT=json:$reports/ ctest --test-dir "$ROOT/build/$1" -j "$JOBS" --output-on-failure \
    --output-junit "$junit" </dev/null || true
  if [[ -f $junit ]]; then count_ctest "$junit" "$reports"; else failed "ctest did not run"; fi
}

# Under nohup, say, no program that a test starts would hear SIGHUP.
run_bats() {  # run_bats FILE-OR-FOLDER...
  env --default-signal=HUP,INT,QUIT,PIPE,TERM bats --tap --timing "$@" </dev/null 2>&1 || true
}

count_bats() {  # count_bats FILE-OR-FOLDER...
  local tap=$TEMP_FOLDER/$SUITE.tap
  run_bats "$@" | tee "$tap"
  count_tap "$tap"
}

# is_in NAME LIST-OF-WORDS
is_in() {
  local -a words=()
  read -rd '' -a words <<<"$2" || true
  [[ " ${words[*]} " == *" $1 "* ]]
}

# The report of those that run beside the rest is printed last.
count_bats_side_by_side() {
  local reports=$TEMP_FOLDER/$SUITE-beside.tap file name
  local -a alone=() beside=() others=()
  for file in "$ROOT/tests/$SUITE"/*.bats; do
    name=$(basename "$file" .bats)
    if is_in "$name" "${ALONE[$SUITE]}"; then
      alone+=("$file")
    elif is_in "$name" "${BESIDE[$SUITE]}"; then
      beside+=("$file")
    else
      others+=("$file")
    fi
  done
  count_bats "${alone[@]}"
  run_bats "${beside[@]}" >"$reports" &
  local beside_pid=$!
  count_bats "${others[@]}"
  wait "$beside_pid"
  cat "$reports"
  count_tap "$reports"
}

count_bats_folder() {
  if ((JOBS > 1)); then count_bats_side_by_side; else count_bats "$ROOT/tests/$SUITE"; fi
}

suite_unit() { run_ctest release; }
suite_cli() { count_bats_folder; }
suite_net() { count_bats_folder; }
suite_style() { count_bats "$ROOT/tests/style"; }
suite_asan() { await_build_ahead; if build asan ptrain_tests; then run_ctest asan; fi; }

suite_fuzz() {
  local tap=$TEMP_FOLDER/fuzz.tap
  await_build_ahead
  "$ROOT/tests/fuzz/run.sh" --seconds "$FUZZ_SECONDS" --jobs "$JOBS" </dev/null | tee "$tap" || true
  count_tap "$tap"
}

# --- all of it ---

needs_release_build() {
  [[ " ${CHOSEN[*]} " == *" unit "* || " ${CHOSEN[*]} " == *" cli "* || " ${CHOSEN[*]} " == *" net "* || " ${CHOSEN[*]} " == *" style "* ]]
}

main() {
  parse_options "$@"
  "$RECIPES/install-deps.sh" test
  make_temp_folder
  JOBS=$(build_jobs)
  if ((JOBS > MOST_JOBS)); then JOBS=$MOST_JOBS; fi
  local suite built=yes
  if needs_release_build; then build release all -DPTRAIN_TESTS=ON -DPTRAIN_BENCH=ON || built=no; fi
  if [[ $built == yes ]]; then
    build_ahead
    for suite in "${CHOSEN[@]}"; do run_suite "$suite"; done
  fi
  summarise
}

main "$@"
