#!/usr/bin/env bash
# How much of a pipeline's time far links leave: stages that sleep instead of computing, so that
# the emulated network has the processors for itself.
# shellcheck source=../../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../recipes/lib.sh"

readonly SCENARIO=$ROOT/tests/bench/wan_scenario.sh

usage() {
  cat <<'TEXT'
usage: wan.sh [--stages N] [--rate MBIT] [--round-trip MS] [--ratio LIST] [--loss LIST]
              [--congestion LIST] [--routes LIST] [--microbatches N] [--steps N] [--out FILE]

For each ratio, loss, congestion control and route a job of its own in a laboratory
(recipes/lab/lab.sh; needs root): real engine, sessions and relays, and an arithmetic that sleeps
so many times as long as a microbatch takes on the wire. Prints a JSON object a job: the median
step and its utilisation, beside the bound that the simulator of schedules gives for the nominal
rate and delay with the best depth. Run it on a quiet machine.

  --stages N         default 4
  --rate MBIT        of each link, each way, default 80
  --round-trip MS    between two stages, default 100
  --ratio LIST       computing of a microbatch by its transfer, default 4,1
  --loss LIST        percents of packets between two stages, default 0
  --congestion LIST  of TCP, default bbr
  --routes LIST      direct, relayed or both, the default
  --microbatches N   of a step, default 32
  --steps N          the first four are not counted; default 10
  --payload BYTES    of a microbatch's activations, default 262144
  --in-flight DEPTH  default auto
  --out FILE         the results there as well

Example:
  ./tests/bench/wan.sh --stages 4 --ratio 4 --routes direct
TEXT
}

STAGES=4 RATE=80 ROUND_TRIP=100 RATIOS=4,1 LOSSES=0 CONGESTION=bbr ROUTES=direct,relayed
MICROBATCHES=32 STEPS=10 PAYLOAD=262144 IN_FLIGHT=auto OUT=''

parse_options() {
  while (($#)); do
    case $1 in
      --stages) need_value "$@"; need_count "$1" "$2" 1 16; STAGES=$2; shift ;;
      --rate) need_value "$@"; need_count "$1" "$2" 1 10000; RATE=$2; shift ;;
      --round-trip) need_value "$@"; need_count "$1" "$2" 0 10000; ROUND_TRIP=$2; shift ;;
      --ratio) need_value "$@"; RATIOS=$2; shift ;;
      --loss) need_value "$@"; LOSSES=$2; shift ;;
      --congestion) need_value "$@"; CONGESTION=$2; shift ;;
      --routes) need_value "$@"; ROUTES=$2; shift ;;
      --microbatches) need_value "$@"; need_count "$1" "$2" 1 1024; MICROBATCHES=$2; shift ;;
      --steps) need_value "$@"; need_count "$1" "$2" 5 1000; STEPS=$2; shift ;;
      --payload) need_value "$@"; need_count "$1" "$2" 16 1000000000; PAYLOAD=$2; shift ;;
      --in-flight) need_value "$@"; IN_FLIGHT=$2; shift ;;
      --out) need_value "$@"; OUT=$2; shift ;;
      -h | --help) usage; exit 0 ;;
      *) die_usage "unknown argument: $1" ;;
    esac
    shift
  done
}

of() { awk -v a="$1" -v b="$2" "BEGIN { printf \"%.6g\", $3 }"; }

# Each host's link has a quarter of the round trip one way, and half of the loss.
measure() {  # measure RATIO LOSS CONGESTION ROUTE
  local delay loss transfer_ms hosts=() links=() i
  delay=$(of "$ROUND_TRIP" 4 a/b)
  loss=$(of "$2" 2 a/b)
  transfer_ms=$(of "$PAYLOAD" "$RATE" 'a*8/b/1000')
  if [[ $4 == direct ]]; then
    hosts=(--hosts 0 --public "$STAGES")
    for ((i = 1; i <= STAGES; i++)); do
      links+=(--link "p$i=rate:${RATE}mbit,delay:$delay,loss:$loss,queue:100")
    done
  else
    hosts=(--hosts "$STAGES" --public 1 --rate "${RATE}mbit" --delay "$delay" --loss "$loss" --queue 100)
  fi
  "$ROOT/recipes/lab/lab.sh" "${hosts[@]}" "${links[@]}" --congestion "$3" -- \
    "$SCENARIO" --route "$4" --stages "$STAGES" -- --of "$STAGES" --steps "$STEPS" \
    --microbatches "$MICROBATCHES" --payload-bytes "$PAYLOAD" --in-flight "$IN_FLIGHT" \
    --compute-ms "$(of "$transfer_ms" "$1" 'a*b')" --rate-mbit "$RATE" \
    --one-way-ms "$(of "$ROUND_TRIP" 2 a/b)" |
    jq -cR --arg ratio "$1" --arg loss "$2" --arg congestion "$3" --arg route "$4" \
      'fromjson? | select(.name == "summary") | del(.name) |
       {ratio: ($ratio | tonumber), loss_percent: ($loss | tonumber), $congestion, $route} + .'
}

main() {
  parse_options "$@"
  need_tool jq jq
  if [[ -n $OUT ]]; then OUT=$(realpath "$OUT"); : >"$OUT"; fi
  local ratio loss congestion route
  for ratio in ${RATIOS//,/ }; do
    for loss in ${LOSSES//,/ }; do
      for congestion in ${CONGESTION//,/ }; do
        for route in ${ROUTES//,/ }; do
          measure "$ratio" "$loss" "$congestion" "$route" | tee ${OUT:+-a "$OUT"}
        done
      done
    done
  done
}

main "$@"
