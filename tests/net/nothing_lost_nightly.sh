#!/usr/bin/env bash
# A million messages each way while what carries them is broken: what tests/net/relay.bats shows with
# twenty thousand. Prints the Test Anything Protocol; run by tests/nightly.sh.
# shellcheck source=../../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../recipes/lib.sh"

readonly LONGEST_SILENCE_S=5 LEAST_BREAKS=5

usage() {
  cat <<'TEXT'
usage: nothing_lost_nightly.sh [--count N]

Runs nothing_lost_scenario.sh in the laboratory (needs root) with relays that die, links that bounce,
routes that change, and relays that are neighbours; N messages each way, default 1000000. Of each
way none may be lost, doubled, out of order or damaged, and no silence be longer than five seconds;
and what was to break must have broken, five times at least.

Example:
  sudo ./tests/net/nothing_lost_nightly.sh --count 100000
TEXT
}

COUNT=1000000

parse_options() {
  while (($#)); do
    case $1 in
      --count) need_value "$@"; need_count "$1" "$2" 1 100000000; COUNT=$2; shift ;;
      -h | --help) usage; exit 0 ;;
      *) die_usage "unknown argument: $1" ;;
    esac
    shift
  done
}

NUMBER=0

# check WHAT OPTION...: one scenario
check() {
  local report code=0
  NUMBER=$((NUMBER + 1))
  report=$("$ROOT/recipes/lab/lab.sh" --public 2 -- "$ROOT/tests/net/nothing_lost_scenario.sh" \
    --count "$COUNT" "${@:2}") || code=$?
  local breaks=$LEAST_BREAKS
  if [[ $* == *--flips* ]]; then breaks=0; fi  # each side changes by itself
  if ((code == 0)) && jq -es --argjson count "$COUNT" --argjson silence "$LONGEST_SILENCE_S" \
    --argjson breaks "$breaks" '
    (map((.kills // 0) + (.bounces // 0)) | add) >= $breaks and (map(select(.received)) | length == 2 and all(.lost == 0 and .doubled == 0 and .damaged == 0
      and .received == $count and .drained and .longest_silence_s < $silence))' <<<"$report" >/dev/null; then
    printf 'ok %d %s\n' "$NUMBER" "$1"
  else
    printf 'not ok %d %s\n' "$NUMBER" "$1"
    printf '# exit code %d\n' "$code"
    jq -c 'del(.silences)' <<<"$report" | sed 's/^/# /'
  fi
}

main() {
  parse_options "$@"
  need_tool jq jq
  (cd "$ROOT" && cmake --preset release -DPTRAIN_TESTS=ON && cmake --build --preset release) >&2
  printf '1..4\n'
  check "nothing is lost while relays die" --kills 20 --every 3
  check "nothing is lost while links bounce" --bounces 20 --every 3 --relays 1
  check "nothing is lost while routes change" --flips 2000
  check "nothing is lost between members of neighbour relays that die" --apart --kills 20 --every 3
}

main "$@"
