#!/usr/bin/env bash
# How long a message takes over a long link that pauses between messages, as those of a pipeline do.
# shellcheck source=../../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../recipes/lib.sh"

readonly SCENARIO=$ROOT/tests/bench/long_link_scenario.sh
readonly MESSAGE_BITS=8388608

usage() {
  cat <<'TEXT'
usage: burst.sh [--rate RATE] [--delay MS] [--queues LIST] [--every MS] [--seconds N] [--out FILE]

For each queue, in a laboratory of its own (recipes/lab/lab.sh; needs root): hosts h1 and h2 behind
links that together have the delay, one way; a relay on a public host. From h1 to h2, over a direct
path and through the relay, a session sends a message of 1 MiB every so often. Three times: as
programs choose (chosen), with cubic and with BBR for everybody. What a program that chooses nothing
gets is cubic. Prints one JSON object: of the time from send to the whole message's arrival median,
99th percentile and their ratios to the best that is possible, one way + size / rate. Run it on a
quiet machine.

  --rate RATE    of each link, default 80mbit
  --delay MS     between the two hosts, one way, default 50
  --queues LIST  of each link, in milliseconds, default 50,200
  --every MS     from one message to the next, default 400
  --seconds N    of each measurement, default 15
  --out FILE     the summary there as well

Example:
  ./tests/bench/burst.sh --queues 50 --seconds 10
TEXT
}

RATE=80mbit DELAY=50 QUEUES=50,200 EVERY=400 EACH=15 OUT=''

parse_options() {
  while (($#)); do
    case $1 in
      --rate)
        need_value "$@"
        [[ $2 =~ ^[1-9][0-9]*mbit$ ]] || die_usage "--rate $2: expected a rate like 80mbit"
        RATE=$2
        shift
        ;;
      --delay) need_value "$@"; need_count "$1" "$2" 1 10000; DELAY=$2; shift ;;
      --queues) need_value "$@"; QUEUES=$2; shift ;;
      --every) need_value "$@"; need_count "$1" "$2" 1 60000; EVERY=$2; shift ;;
      --seconds) need_value "$@"; need_count "$1" "$2" 1 600; EACH=$2; shift ;;
      --out) need_value "$@"; OUT=$2; shift ;;
      -h | --help) usage; exit 0 ;;
      *) die_usage "unknown argument: $1" ;;
    esac
    shift
  done
}

measure() {  # measure QUEUE NAME LAB-OPTION...
  "$ROOT/recipes/lab/lab.sh" --hosts 2 --public 1 "${@:3}" --rate "$RATE" --queue "$1" \
    --delay "$(awk -v delay="$DELAY" 'BEGIN { printf "%.6g", delay / 2 }')" -- \
    "$SCENARIO" --seconds "$EACH" --every "$EVERY" --streams '' |
    jq -c --argjson queue "$1" --arg congestion "$2" \
      '{queue_ms: $queue, congestion: $congestion} + .' >>measured
}

# The first two seconds are those in which a connection learns what its link is like.
summary() {
  jq -s --arg rate "$RATE" --argjson delay "$DELAY" --argjson every "$EVERY" \
    --argjson bits "$MESSAGE_BITS" '
    ($rate | rtrimstr("mbit") | tonumber) as $mbit |
    ($delay / 1000 + $bits / ($mbit * 1e6)) as $best |
    def round4: . * 10000 | round / 10000;
    {rate: $rate, one_way_ms: $delay, every_ms: $every, best_s: ($best | round4),
     of: map((.took_s[(2000 / $every | ceil):] | sort) as $took |
       ($took[($took | length) / 2 | floor]) as $median |
       ($took[(($took | length) * 0.99 | ceil) - 1]) as $p99 |
       {queue_ms, congestion, path, messages: ($took | length), median_s: ($median | round4),
        p99_s: ($p99 | round4), median_of_best: ($median / $best | round4),
        p99_of_best: ($p99 / $best | round4)})}' measured
}

main() {
  parse_options "$@"
  need_tool jq jq
  make_temp_folder
  if [[ -n $OUT ]]; then OUT=$(realpath "$OUT"); fi
  cd "$TEMP_FOLDER"
  local queue
  for queue in ${QUEUES//,/ }; do
    measure "$queue" chosen --unlocked
    measure "$queue" cubic --congestion cubic
    measure "$queue" bbr --congestion bbr
  done
  summary | tee ${OUT:+"$OUT"}
}

main "$@"
