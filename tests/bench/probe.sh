#!/usr/bin/env bash
# How near ptrain-probe comes to iperf3 and ping, on the same links in the same run.
# shellcheck source=../../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../recipes/lib.sh"
# shellcheck source=bounds.bash
. "$ROOT/tests/bench/bounds.bash"

readonly SCENARIO=$ROOT/tests/net/probe_scenario.sh
# Rate in Mbit/s, or the rates to and from the peer, and round trip in ms: up to 2 MB are under way;
# ways that differ; more than that.
readonly LINKS=(1:2 1:200 10:20 20:50 50:100 100:20 100:160 200:2 200:80
  4/16:40 50/10:20
  100:200 200:160)

usage() {
  cat <<'TEXT'
usage: probe.sh [--rounds N] [--links MBIT[/MBIT]:MS,...] [--seconds N] [--runs N] [--out FILE]
                [--check] [--from FILE]

In a laboratory of network namespaces (recipes/lab/lab.sh; needs root), for each link the medians
over the rounds of

  rate      what ptrain-probe says over what iperf3 says, each way; at most 5 % apart. Where more
            than 2 MB are under way: at most 5 % outside of what three runs of iperf3 say
  coarse    the same at a glance (--coarse); at most 15 % apart
  bytes     what --coarse sent over what iperf3 did; at most 0.05
  round     round trip over ping's; at most 3 % or 0.2 ms apart
  beyond_s  seconds that were measured beyond slow start; at most 3

and for h1 to h2 through a relay, where one leg is the slower, the rate over iperf3's of that leg; at
most 5 % apart. Then, on a link of 20 Mbit/s and 50 ms, how often the rate that TCP carries over it is
inside the interval that ptrain-probe prints; at least 19 times of 20. Prints a line of JSON for each
and, with --out, one list of them. Run it on a quiet machine.

  --rounds N   default 5
  --links ...  instead of those of the table, as in 20:50,4/16:40: to the peer 4 Mbit/s, from it 16
  --seconds N  of iperf3, default 10
  --runs N     for the interval, default 20; 0 for none
  --out FILE   the numbers as JSON
  --check      print each of these bounds instead, and whether it holds (TAP); end with 1 where not
  --from FILE  check those numbers of another time, and measure nothing

Example:
  ./tests/bench/probe.sh --rounds 1 --links 20:50
TEXT
}

ROUNDS=5 EACH=10 RUNS=20 CHECK=no FROM='' OUT='' CHOSEN=("${LINKS[@]}")

parse_options() {
  while (($#)); do
    case $1 in
      --rounds) need_value "$@"; need_count "$1" "$2" 1 100; ROUNDS=$2; shift ;;
      --seconds) need_value "$@"; need_count "$1" "$2" 1 100; EACH=$2; shift ;;
      --links) need_value "$@"; IFS=, read -ra CHOSEN <<<"$2"; shift ;;
      --runs) need_value "$@"; need_count "$1" "$2" 0 1000; RUNS=$2; shift ;;
      --check) CHECK=yes ;;
      --from) need_value "$@"; FROM=$2; shift ;;
      --out) need_value "$@"; OUT=$2; shift ;;
      -h | --help) usage; exit 0 ;;
      *) die_usage "unknown argument: $1" ;;
    esac
    shift
  done
}

# in_lab UP DOWN DELAY-MS SCENARIO-OPTION...: in Mbit/s
in_lab() {
  "$ROOT/recipes/lab/lab.sh" --hosts 2 --link "h1=up:${1}mbit,down:${2}mbit" --delay "$3" -- "$SCENARIO" "${@:4}"
}

half() { awk -v ms="$1" -v parts="$2" 'BEGIN { print ms / parts }'; }

direct() {  # direct UP DOWN ROUND-TRIP-MS
  local delay round
  delay=$(half "$3" 2)
  for ((round = 1; round <= ROUNDS; round++)); do
    in_lab "$1" "$2" "$delay" --peers "$EACH"
    in_lab "$1" "$2" "$delay" --coarse
  done | jq -sc --argjson up "$1" --argjson down "$2" --argjson ms "$3" '
    def median: sort | .[(length - 1) / 2 | floor];
    def spread: .[:3] | [min, max];
    map(select(.iperf_to)) as $full | map(select(.iperf_to | not)) as $coarse |
    ($full | map(.iperf_to.bits_per_second / 8) | median) as $to |
    ($full | map(.iperf_from.bits_per_second / 8) | median) as $from |
    {mbit_to: $up, mbit_from: $down, round_trip_ms: $ms,
     rate_to: ($full | map(.probe.to_peer.rate_bytes_per_s / (.iperf_to.bits_per_second / 8)) | median),
     rate_from: ($full | map(.probe.from_peer.rate_bytes_per_s / (.iperf_from.bits_per_second / 8)) | median),
     spread_to: ($full | map(.iperf_to.bits_per_second / 8 / $to) | spread),
     spread_from: ($full | map(.iperf_from.bits_per_second / 8 / $from) | spread),
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

interval() {  # interval MBIT ROUND-TRIP-MS
  local delay run
  if ((RUNS == 0)); then return; fi
  delay=$(half "$2" 2)
  # Of a frame of 1514 bytes TCP carries 1448.
  for ((run = 1; run <= RUNS; run++)); do in_lab "$1" "$1" "$delay"; done |
    jq -sc --argjson mbit "$1" --argjson ms "$2" '
    ($mbit * 1e6 / 8 * 1448 / 1514) as $true |
    def inside: select(.low_bytes_per_s <= $true and .high_bytes_per_s >= $true);
    {interval: true, mbit: $mbit, round_trip_ms: $ms, runs: length,
     inside_to: (map(.probe.to_peer | inside) | length),
     inside_from: (map(.probe.from_peer | inside) | length)}'
}

# What of a record has to hold, in words, and whether it does.
# shellcheck disable=SC2016  # jq's own variables
readonly BOUNDS='
  def shown: . * 1000 | round / 1000;
  def two(f): "\(.[0] | f), \(.[1] | f)";
  def near($part): all(. >= 1 - $part and . <= 1 + $part);
  if .interval then
    "\(.mbit) Mbit/s, \(.round_trip_ms) ms: " as $link | [.inside_to, .inside_from] as $inside | .runs as $runs |
    {what: "\($link)inside the interval in 19 of 20 runs: \($inside | two(.)) of \($runs)",
     holds: ($inside | all(. >= ($runs * 0.95 | floor)))}
  elif .relayed then
    [.rate_to, .rate_from] as $rate |
    {what: "through a relay: rate within 5 % of the slower leg: \($rate | two(shown))", holds: ($rate | near(0.05))}
  else
    "\(.mbit_to)/\(.mbit_from) Mbit/s, \(.round_trip_ms) ms: " as $link |
    [.rate_to, .rate_from] as $rate | [.coarse_to, .coarse_from] as $coarse | [.bytes_to, .bytes_from] as $bytes |
    if ([.mbit_to, .mbit_from] | max) * .round_trip_ms / 8000 <= 2 then
      {what: "\($link)rate within 5 %: \($rate | two(shown))", holds: ($rate | near(0.05))}
    else
      [.spread_to, .spread_from] as $spread |
      {what: "\($link)rate within the spread of three runs of iperf3: \($rate | two(shown)) in \($spread | two(map(shown)))",
       holds: ([0, 1] | all($rate[.] >= $spread[.][0] * 0.95 and $rate[.] <= $spread[.][1] * 1.05))}
    end,
    {what: "\($link)3 s beyond slow start: \(.beyond_s | shown)", holds: (.beyond_s <= 3)},
    {what: "\($link)coarse within 15 %: \($coarse | two(shown))", holds: ($coarse | near(0.15))},
    {what: "\($link)coarse for 5 % of the bytes: \($bytes | two(shown))", holds: ($bytes | all(. <= 0.05))},
    {what: "\($link)round trip within 3 % or 0.2 ms: \(.round | shown), \(.round_off_ms | shown) ms",
     holds: (([.round] | near(0.03)) or (.round_off_ms | fabs) <= 0.2)}
  end'

measure() {
  local link rates
  for link in "${CHOSEN[@]}"; do
    rates=${link%:*}
    direct "${rates%/*}" "${rates#*/}" "${link#*:}"
  done
  relayed 40 40
  interval 20 50
}

main() {
  parse_options "$@"
  make_temp_folder
  local link
  for link in "${CHOSEN[@]}"; do
    [[ $link =~ ^[1-9][0-9]*(/[1-9][0-9]*)?:[1-9][0-9]*$ ]] || die_usage "--links $link: expected MBIT:MS or MBIT/MBIT:MS"
  done
  if [[ $FROM ]]; then
    jq -c '.[]' "$FROM" >"$TEMP_FOLDER/measured" || die "$EXIT_IO" "--from $FROM cannot be read"
  elif [[ $CHECK == yes ]]; then
    measure >"$TEMP_FOLDER/measured"
  else
    measure | tee "$TEMP_FOLDER/measured"
  fi
  if [[ $OUT ]]; then jq -s . "$TEMP_FOLDER/measured" >"$OUT"; fi
  if [[ $CHECK == yes ]]; then judge "$TEMP_FOLDER/measured" "$BOUNDS"; fi
}

main "$@"
