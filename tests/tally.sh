# Counts what suites of tests report, for tests/run.sh and tests/nightly.sh. Source it after
# recipes/lib.sh, run each suite with run_suite, and end with summarise.
# shellcheck shell=bash
set -euo pipefail

SUITE=build TABLE=''  # the suite that runs; what the earlier ones came to, a line each
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

# run_suite NAME: runs the function suite_NAME and notes what it came to
run_suite() {
  SUITE=$1
  local begun=$SECONDS passed=$PASSED failed=$FAILED skipped=$SKIPPED
  say "$SUITE"
  "suite_$SUITE"
  TABLE+=$(printf '%-10s %4d passed, %d failed, %d skipped, %s' "$SUITE" $((PASSED - passed)) \
    $((FAILED - failed)) $((SKIPPED - skipped)) "$(duration $((SECONDS - begun)))")$'\n'
}

# summarise: the last line is the sum; ends with 1 where anything failed
summarise() {
  local line
  printf '\n'
  for line in "${FAILURES[@]}"; do printf 'not passed: %s\n' "$line"; done
  printf '%s' "$TABLE"
  printf '%d passed, %d failed, %d skipped\n' "$PASSED" "$FAILED" "$SKIPPED"
  if ((FAILED > 0)); then exit "$EXIT_NEGATIVE"; fi
}
