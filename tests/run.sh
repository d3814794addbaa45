#!/usr/bin/env bash
# Every test of the project: installs what is missing, builds, runs, counts.
# shellcheck source=../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../recipes/lib.sh"

readonly SUITES=(unit cli net style asan fuzz)
readonly MOST_JOBS=2  # measured tests and a small machine both suffer from more
readonly FUZZ_SECONDS=15

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

# --- counting ---

PASSED=0 FAILED=0 SKIPPED=0
FAILURES=()  # "suite: test", for the summary

count() {  # count PASSED FAILED SKIPPED
  PASSED=$((PASSED + $1)) FAILED=$((FAILED + $2)) SKIPPED=$((SKIPPED + $3))
}

failed() {  # failed NAME: one test that did not pass
  count 0 1 0
  FAILURES+=("$SUITE: $1")
}

# Test Anything Protocol, as bats and tests/fuzz/run.sh print it. A file that ends before
# its plan is fulfilled has lost tests, and each of them failed.
count_tap() {
  local file=$1 line planned=0 seen=0
  while IFS= read -r line; do
    case $line in
      1..*) planned=${line#1..} ;;
      "ok "*"# skip"*) count 0 0 1; FAILURES+=("$SUITE: skipped: ${line#ok }") ;;
      "ok "*) count 1 0 0 ;;
      "not ok "*) failed "${line#not ok * }" ;;
      *) continue ;;
    esac
    [[ $line == 1..* ]] || seen=$((seen + 1))
  done <"$file"
  if ((planned == 0)); then failed "no test ran"; fi
  if ((seen < planned)); then failed "$((planned - seen)) tests did not run"; fi
}

# ctest knows one test a program; GoogleTest's own report, where a program left one, knows
# its cases. A program that broke off has left none and counts as one failure.
count_ctest() {
  local junit=$1 reports=$2 name status report before=$((PASSED + FAILED + SKIPPED))
  while read -r name status; do
    report=$reports/test_$name.json
    if [[ -f $report ]]; then
      # shellcheck disable=SC2046  # three numbers
      count $(jq -r '[.testsuites[].testsuite[]] as $all
        | ($all | map(select(.failures)) | length) as $failed
        | ($all | map(select(.result != "COMPLETED")) | length) as $skipped
        | "\(($all | length) - $failed - $skipped) \($failed) \($skipped)"' "$report")
      while IFS= read -r line; do FAILURES+=("$SUITE: $line"); done < <(
        jq -r '.testsuites[].testsuite[] | select(.failures or .result != "COMPLETED")
          | "\(.classname).\(.name)" + (if .failures then "" else " (skipped)" end)' "$report")
      # It passed its cases and failed all the same: a leak, say, found at its end.
      if [[ $status != run ]] && ! jq -e '.failures > 0' "$report" >/dev/null; then failed "$name"; fi
    else
      case $status in
        run) count 1 0 0 ;;
        disabled) count 0 0 1 ;;
        *) failed "$name" ;;
      esac
    fi
  done < <(sed -n 's/.*<testcase name="\([^"]*\)".* status="\([^"]*\)".*/\1 \2/p' "$junit")
  if ((PASSED + FAILED + SKIPPED == before)); then failed "no test ran"; fi
}

# --- the suites ---

build() {  # build PRESET [CMAKE-OPTION]...
  local preset=$1 log=$TEMP_FOLDER/build-$1.log
  shift
  say "building $preset"
  if (cd "$ROOT" && cmake --preset "$preset" "$@" && cmake --build --preset "$preset" -j "$JOBS") \
    >"$log" 2>&1; then return; fi
  tail -n 40 "$log" >&2
  failed "the $preset build"
  return 1
}

run_ctest() {  # run_ctest PRESET
  local reports=$TEMP_FOLDER/gtest-$1 junit=$TEMP_FOLDER/ctest-$1.xml
  mkdir -p "$reports"
  GTEST_OUTPUT=json:$reports/ ctest --test-dir "$ROOT/build/$1" --output-on-failure \
    --output-junit "$junit" </dev/null || true
  if [[ -f $junit ]]; then count_ctest "$junit" "$reports"; else failed "ctest did not run"; fi
}

run_bats() {  # run_bats FOLDER
  local tap=$TEMP_FOLDER/$SUITE.tap
  bats --tap "$1" </dev/null 2>&1 | tee "$tap" || true
  count_tap "$tap"
}

suite_unit() { run_ctest release; }
suite_cli() { run_bats "$ROOT/tests/cli"; }
suite_net() { run_bats "$ROOT/tests/net"; }
suite_style() { run_bats "$ROOT/tests/style"; }
suite_asan() { if build asan; then run_ctest asan; fi; }

suite_fuzz() {
  local tap=$TEMP_FOLDER/fuzz.tap
  "$ROOT/tests/fuzz/run.sh" --seconds "$FUZZ_SECONDS" --jobs "$JOBS" </dev/null | tee "$tap" || true
  count_tap "$tap"
}

# --- all of it ---

run_suite() {
  SUITE=$1
  local begun=$SECONDS passed=$PASSED failed=$FAILED skipped=$SKIPPED
  say "$SUITE"
  "suite_$SUITE"
  TABLE+=$(printf '%-6s %4d passed, %d failed, %d skipped, %s' "$SUITE" $((PASSED - passed)) \
    $((FAILED - failed)) $((SKIPPED - skipped)) "$(duration $((SECONDS - begun)))")$'\n'
}

needs_release_build() {
  [[ " ${CHOSEN[*]} " == *" unit "* || " ${CHOSEN[*]} " == *" cli "* || " ${CHOSEN[*]} " == *" net "* || " ${CHOSEN[*]} " == *" style "* ]]
}

summarise() {
  local line
  printf '\n'
  for line in "${FAILURES[@]}"; do printf 'not passed: %s\n' "$line"; done
  printf '%s' "$TABLE"
  printf '%d passed, %d failed, %d skipped\n' "$PASSED" "$FAILED" "$SKIPPED"
}

main() {
  parse_options "$@"
  "$RECIPES/install-deps.sh" test
  make_temp_folder
  JOBS=$(build_jobs)
  if ((JOBS > MOST_JOBS)); then JOBS=$MOST_JOBS; fi
  SUITE=build TABLE=''
  local suite built=yes
  if needs_release_build; then build release -DPTRAIN_TESTS=ON -DPTRAIN_BENCH=ON || built=no; fi
  if [[ $built == yes ]]; then
    for suite in "${CHOSEN[@]}"; do run_suite "$suite"; done
  fi
  summarise
  if ((FAILED > 0)); then exit "$EXIT_NEGATIVE"; fi
}

main "$@"
