#!/usr/bin/env bash
# What one session carries over a long and lossy link, against iperf3 in the same run.
# shellcheck source=../../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../recipes/lib.sh"

readonly SCENARIO=$ROOT/tests/bench/long_link_scenario.sh

usage() {
  cat <<'TEXT'
usage: long_link.sh [--rate RATE] [--delay MS] [--loss LIST] [--seconds N] [--rounds N]
                    [--connections LIST] [--out FILE]

For each loss, in a laboratory of its own (recipes/lab/lab.sh; needs root, and iperf3): hosts h1
and h2 behind links that together have the delay, one way, and the loss, half of it each; a relay
on a public host. One after the other from h1 to h2: iperf3 with one and with four streams,
one session over a direct path, and one through the relay, with each number of connections.
TCP is cubic everywhere. Says each figure as it comes on standard error, and prints one JSON
object: the ratios of the session to iperf3, medians over the rounds, because where a stream
happens to lose its first packets decides about the next ten seconds. Run it on a quiet machine.

  --rate RATE         of each link, default 200mbit
  --delay MS          between the two hosts, one way, default 50
  --queue MS          of each link, default 100: the round trip, as the textbook has it
  --loss LIST         percents, default 0,0.01,0.1,1
  --seconds N         of each measurement, default 15
  --rounds N          each with another seed, default 3
  --connections LIST  of each path, default 1,4
  --seed N            of what is lost in the first round, default 1
  --out FILE          the summary there as well

Example:
  ./tests/bench/long_link.sh --loss 0.1 --seconds 10
TEXT
}

RATE=200mbit DELAY=50 QUEUE=100 LOSSES=0,0.01,0.1,1 EACH=15 ROUNDS=3 CONNECTIONS=1,4 SEED=1 OUT=''

parse_options() {
  while (($#)); do
    case $1 in
      --rate) need_value "$@"; RATE=$2; shift ;;
      --delay) need_value "$@"; need_count "$1" "$2" 1 10000; DELAY=$2; shift ;;
      --queue) need_value "$@"; QUEUE=$2; shift ;;
      --loss) need_value "$@"; LOSSES=$2; shift ;;
      --seconds) need_value "$@"; need_count "$1" "$2" 1 600; EACH=$2; shift ;;
      --rounds) need_value "$@"; need_count "$1" "$2" 1 99; ROUNDS=$2; shift ;;
      --connections) need_value "$@"; CONNECTIONS=$2; shift ;;
      --seed) need_value "$@"; need_count "$1" "$2" 0 999999; SEED=$2; shift ;;
      --out) need_value "$@"; OUT=$2; shift ;;
      -h | --help) usage; exit 0 ;;
      *) die_usage "unknown argument: $1" ;;
    esac
    shift
  done
}

half() { awk -v value="$1" 'BEGIN { printf "%.6g", value / 2 }'; }

measure() {  # measure LOSS ROUND
  "$ROOT/recipes/lab/lab.sh" --hosts 2 --public 1 --congestion cubic --rate "$RATE" --queue "$QUEUE" \
    --delay "$(half "$DELAY")" --loss "$(half "$1")" --seed $((10#$SEED + $2)) -- \
    "$SCENARIO" --seconds "$EACH" --connections "$CONNECTIONS" |
    jq -c --unbuffered --argjson loss "$1" --argjson round "$2" \
      '{loss_percent: $loss, round: $round} + .' | tee -a measured >&2
}

summary() {
  jq -s --arg rate "$RATE" --argjson delay "$DELAY" --argjson queue "$QUEUE" \
    --argjson seconds "$EACH" --argjson rounds "$ROUNDS" '
    def median: sort | (.[(length - 1) / 2 | floor] + .[length / 2 | floor]) / 2;
    def mbit_per_s: map(.bits_per_s / 1e6) | median;
    {rate: $rate, one_way_ms: $delay, queue_ms: $queue, seconds: $seconds, rounds: $rounds,
     of: (group_by(.loss_percent) | map(
      (map(select(.name == "iperf3")) | group_by(.streams) |
        map({key: (.[0].streams | tostring), value: mbit_per_s}) | from_entries) as $iperf |
      {loss_percent: .[0].loss_percent,
       iperf3_mbit_per_s: $iperf,
       session: (map(select(.name == "session")) | group_by([.path, .connections]) | map(
         mbit_per_s as $session |
         {path: .[0].path, connections: .[0].connections, reconnects: (map(.reconnects) | add),
          mbit_per_s: $session, of_iperf3: ($iperf | map_values($session / .))}))}))}' measured
}

main() {
  parse_options "$@"
  need_tool iperf3 iperf3
  need_tool jq jq
  make_temp_folder
  if [[ -n $OUT ]]; then OUT=$(realpath "$OUT"); fi
  cd "$TEMP_FOLDER"
  local loss round
  for ((round = 0; round < ROUNDS; round++)); do
    for loss in ${LOSSES//,/ }; do measure "$loss" "$round"; done
  done
  summary | tee ${OUT:+"$OUT"}
}

main "$@"
