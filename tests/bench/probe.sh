#!/usr/bin/env bash
# How near ptrain-probe comes to iperf3 and ping, on the same links in the same run.
# shellcheck source=../../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../recipes/lib.sh"

readonly SCENARIO=$ROOT/tests/net/probe_scenario.sh
# Rate in Mbit/s and round trip in ms, of which at most 2 MB are under way.
readonly LINKS=(1:2 1:200 10:20 20:50 50:100 100:20 100:160 200:2 200:80)

usage() {
  cat <<'TEXT'
usage: probe.sh [--rounds N] [--links MBIT:MS,...] [--seconds N] [--out FILE]

In a laboratory of network namespaces (recipes/lab/lab.sh; needs root), for each link the medians
over the rounds of

  rate      what ptrain-probe says over what iperf3 says, each way; at most 5 % apart
  coarse    the same at a glance (--coarse); at most 15 % apart
  bytes     what --coarse sent over what iperf3 did; at most 0.05
  round     round trip over ping's; at most 3 % or 0.2 ms apart
  beyond_s  seconds that were measured beyond slow start; at most 3

and for h1 to h2 through a relay, where one leg is the slower, the rate over iperf3's of that leg.
Prints a line of JSON for each and, with --out, one list of them. Run it on a quiet machine.

  --rounds N   default 5
  --links ...  instead of those of the table, as in 20:50,100:20
  --seconds N  of iperf3, default 10
  --out FILE   the numbers as JSON

Example:
  ./tests/bench/probe.sh --rounds 1 --links 20:50
TEXT
}

ROUNDS=5 EACH=10 OUT='' CHOSEN=("${LINKS[@]}")

parse_options() {
  while (($#)); do
    case $1 in
      --rounds) need_value "$@"; need_count "$1" "$2" 1 100; ROUNDS=$2; shift ;;
      --seconds) need_value "$@"; need_count "$1" "$2" 1 100; EACH=$2; shift ;;
      --links) need_value "$@"; IFS=, read -ra CHOSEN <<<"$2"; shift ;;
      --out) need_value "$@"; OUT=$2; shift ;;
      -h | --help) usage; exit 0 ;;
      *) die_usage "unknown argument: $1" ;;
    esac
    shift
  done
}

# in_lab MBIT DELAY-MS SCENARIO-OPTION...
in_lab() {
  "$ROOT/recipes/lab/lab.sh" --hosts 2 --rate "$1mbit" --delay "$2" -- "$SCENARIO" "${@:3}"
}

half() { awk -v ms="$1" -v parts="$2" 'BEGIN { print ms / parts }'; }

direct() {  # direct MBIT ROUND-TRIP-MS
  local delay round
  delay=$(half "$2" 2)
  for ((round = 1; round <= ROUNDS; round++)); do
    in_lab "$1" "$delay" --peers "$EACH"
    in_lab "$1" "$delay" --coarse
  done | jq -sc --argjson mbit "$1" --argjson ms "$2" '
    def median: sort | .[(length - 1) / 2 | floor];
    map(select(.iperf_to)) as $full | map(select(.iperf_to | not)) as $coarse |
    ($full | map(.iperf_to.bits_per_second / 8) | median) as $to |
    ($full | map(.iperf_from.bits_per_second / 8) | median) as $from |
    {mbit: $mbit, round_trip_ms: $ms,
     rate_to: ($full | map(.probe.to_peer.rate_bytes_per_s / (.iperf_to.bits_per_second / 8)) | median),
     rate_from: ($full | map(.probe.from_peer.rate_bytes_per_s / (.iperf_from.bits_per_second / 8)) | median),
     coarse_to: ($coarse | map(.probe.to_peer.coarse_bytes_per_s / $to) | median),
     coarse_from: ($coarse | map(.probe.from_peer.coarse_bytes_per_s / $from) | median),
     bytes_to: (($coarse | map(.probe.to_peer.bytes) | median) / ($full | map(.iperf_to.bytes) | median)),
     bytes_from: (($coarse | map(.probe.from_peer.bytes) | median) / ($full | map(.iperf_from.bytes) | median)),
     round: ($full | map(.probe.round_trip.median_s / .ping_s) | median),
     round_off_ms: ($full | map((.probe.round_trip.median_s - .ping_s) * 1000) | median),
     beyond_s: ($full | map([.probe.to_peer, .probe.from_peer] | map(.time_s - .slow_start_s) | max) | median),
     seconds: ($full | map(.seconds) | median)}'
}

relayed() {  # relayed MBIT ROUND-TRIP-MS: h2's link has the half of the rate
  local delay slow=$(($1 / 2)) round
  delay=$(half "$2" 4)
  for ((round = 1; round <= ROUNDS; round++)); do
    "$ROOT/recipes/lab/lab.sh" --hosts 2 --rate "${slow}mbit" --delay "$delay" -- "$SCENARIO" --peers "$EACH"
    "$ROOT/recipes/lab/lab.sh" --hosts 2 --rate "$1mbit" --delay "$delay" \
      --link "h2=rate:${slow}mbit" -- "$SCENARIO" --relayed
  done | jq -sc --argjson mbit "$slow" --argjson ms "$2" '
    def median: sort | .[(length - 1) / 2 | floor];
    (map(select(.iperf_to) | .iperf_to.bits_per_second / 8) | median) as $leg |
    map(select(.iperf_to | not)) |
    {relayed: true, mbit: $mbit, round_trip_ms: $ms,
     rate_to: (map(.probe.to_peer.rate_bytes_per_s / $leg) | median),
     rate_from: (map(.probe.from_peer.rate_bytes_per_s / $leg) | median)}'
}

main() {
  parse_options "$@"
  make_temp_folder
  local link
  for link in "${CHOSEN[@]}"; do
    [[ $link =~ ^[1-9][0-9]*:[1-9][0-9]*$ ]] || die_usage "--links $link: expected MBIT:MS"
    direct "${link%:*}" "${link#*:}"
  done | tee "$TEMP_FOLDER/measured"
  relayed 40 40 | tee -a "$TEMP_FOLDER/measured"
  if [[ $OUT ]]; then jq -s . "$TEMP_FOLDER/measured" >"$OUT"; fi
}

main "$@"
