#!/usr/bin/env bash
# A relay between an honest pair and a mob of strangers. Inside the laboratory (recipes/lab/lab.sh): the
# relay on p1, the pair on h1, the mob on p2, with as many addresses as it wants.
# shellcheck source=../../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../recipes/lib.sh"

usage() {
  cat <<'TEXT'
usage: relay_abuse_scenario.sh [--seconds N] [--addresses N] [--rate N]

Two members of a run exchange bytes and requests through a relay. In every other second strangers
from many addresses connect and say nothing, take places, ask what is refused, begin messages that
never end, and say what is no protocol. Prints one JSON object: what the pair lost, what its round
trips took with the mob and without, the relay's memory before and after, and whether a stranger
who comes then, from the mob's own address, is served.

  --seconds N    default 60
  --addresses N  of the mob, up to 250, default 200
  --rate N       of what it does, a second, default 200

Example:
  ./recipes/lab/lab.sh --hosts 1 --public 2 --delay 5 -- tests/net/relay_abuse_scenario.sh
TEXT
}

SECONDS_EACH=60 ADDRESSES=200 RATE=200
readonly CONTROL_PORT=7100 DATA_PORT=7101 MOB_NET=11.0.1

parse_options() {
  while (($#)); do
    case $1 in
      --seconds) need_value "$@"; need_count "$1" "$2" 4 86400; SECONDS_EACH=$2; shift ;;
      --addresses) need_value "$@"; need_count "$1" "$2" 1 250; ADDRESSES=$2; shift ;;
      --rate) need_value "$@"; need_count "$1" "$2" 1 10000; RATE=$2; shift ;;
      -h | --help) usage; exit 0 ;;
      *) die_usage "unknown argument: $1" ;;
    esac
    shift
  done
}

# Whoever is asked for one of these finds p2.
give_addresses() {
  local i
  for ((i = 1; i <= ADDRESSES; i++)); do on p2 ip address add "$MOB_NET.$i/32" dev lo; done
  on p1 ip route add "$MOB_NET.0/24" via "$(address p2)"
}

start_relay() {
  on p1 "$(find_program ptrain-relay)" serve --state state --listen "tcp://0.0.0.0:$CONTROL_PORT" \
    --data "$DATA_PORT" --public-host "$(address p1)" >word 2>said &
  RELAY=$!
  on_exit "kill $RELAY 2>/dev/null || true"
  until [[ -s word ]]; do
    kill -0 "$RELAY" 2>/dev/null || die "$EXIT_UNAVAILABLE" "the relay did not start: $(tail -n 1 said)"
    sleep 0.05
  done
}

memory_kib() { awk '/^VmRSS:/ { print $2 }' "/proc/$RELAY/status"; }

main() {
  parse_options "$@"
  local programs=$ROOT/build/release/tests
  if [[ -n ${PTRAIN_BIN-} ]]; then programs=${PTRAIN_BIN%/bin}/tests; fi
  make_temp_folder
  cd "$TEMP_FOLDER"
  give_addresses
  start_relay
  local before pair late=true
  before=$(memory_kib)
  on p2 "$programs/relay_riot" riot "$(<word)" net="$MOB_NET" addresses="$ADDRESSES" rate="$RATE" &
  local mob=$!
  on_exit "kill -KILL $mob 2>/dev/null || true"
  pair=$(on h1 "$programs/relay_riot" abuse "$(<word)" mob="$mob" seconds="$SECONDS_EACH") || true
  on p2 "$programs/relay_attacker" join "$(<word)" from="$MOB_NET.1" >joined || late=false
  kill -0 "$RELAY" || die "$EXIT_UNAVAILABLE" "the relay has ended: $(tail -n 1 said)"
  jq -c --argjson before "$before" --argjson after "$(memory_kib)" --argjson late "$late" \
    '. + {rss_kib_before: $before, rss_kib: $after, late_comer_served: $late}' <<<"$pair"
}

main "$@"
