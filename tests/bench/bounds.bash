# What benches have to show, for their --check. Sourced after recipes/lib.sh.
# shellcheck shell=bash

# judge FILE FILTER: of each record in FILE the FILTER makes any number of {what, holds}. Prints these
# in the Test Anything Protocol, as tests/nightly.sh counts it; false where one does not hold.
judge() {
  local judged
  judged=$(jq -sc "[.[] | $2]" "$1") || return
  jq -r '"1..\(length)", (to_entries[] |
    "\(if .value.holds then "ok" else "not ok" end) \(.key + 1) \(.value.what)")' <<<"$judged"
  jq -e 'length > 0 and all(.holds)' <<<"$judged" >/dev/null
}
