#!/usr/bin/env bash
# Two peers behind NATs exchange numbered messages while what carries them is broken again and
# again. Inside the laboratory (recipes/lab/lab.sh): peers on h1 and h2, relays on p1 and p2.
# shellcheck source=../../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../recipes/lib.sh"

usage() {
  cat <<'TEXT'
usage: nothing_lost_scenario.sh [--count N] [--kills N] [--flips N] [--bounces N] [--punch]
                                [--pause-us N]

Prints one JSON object a peer: messages lost, doubled, damaged, and its silences. Then one that
says how long after each link was up again, or after each relay was killed, it took until a
message arrived: the later one of both ways.

  --count N     messages each way, default 100000
  --relays N    1 or 2, default 2
  --apart       each peer's ticket names one relay, and the relays are neighbours
  --kills N     how often a relay is killed and started anew, in turn
  --flips N     how often each peer changes between direct and relayed paths; h1's router then
                maps a port for it, so that there are both
  --bounces N   how often the first peer's link goes down
  --down S      for so many seconds, default 1
  --drop        the link stays up, and the router drops all packets instead
  --slow RATE   the first peer's link has that rate, as tc(8) writes it, and a queue of four seconds
  --direct      no data goes through relays; h1's router maps a port for it
  --punch       paths through both routers are direct ones, too; flips are between these and relays
  --pause-us N  between messages
  --every S     seconds between kills or bounces, default 3

Example:
  ./recipes/lab/lab.sh --public 2 -- tests/net/nothing_lost_scenario.sh --count 1000
TEXT
}

COUNT=100000 KILLS=0 FLIPS=0 BOUNCES=0 PAUSE_US=0 RELAYS=2 EVERY=3 DOWN=1
DROP='' DIRECT='' SLOW='' APART='' PUNCH=''
readonly CONTROL_PORT=7100 DATA_PORT=7101 PEER_PORT=7200

parse_options() {
  while (($#)); do
    case $1 in
      --count) need_value "$@"; need_count "$1" "$2" 1 100000000; COUNT=$2; shift ;;
      --relays) need_value "$@"; need_count "$1" "$2" 1 2; RELAYS=$2; shift ;;
      --apart) APART=yes ;;
      --kills) need_value "$@"; need_count "$1" "$2" 0 1000; KILLS=$2; shift ;;
      --flips) need_value "$@"; need_count "$1" "$2" 0 1000000; FLIPS=$2; shift ;;
      --bounces) need_value "$@"; need_count "$1" "$2" 0 1000; BOUNCES=$2; shift ;;
      --pause-us) need_value "$@"; need_count "$1" "$2" 0 1000000; PAUSE_US=$2; shift ;;
      --down) need_value "$@"; need_count "$1" "$2" 1 600; DOWN=$2; shift ;;
      --drop) DROP=yes ;;
      --direct) DIRECT=yes ;;
      --punch) PUNCH=yes ;;
      --slow)
        need_value "$@"
        [[ $2 =~ ^[1-9][0-9]*(k|m|g)bit$ ]] || die_usage "--slow $2: expected a rate like 2mbit"
        SLOW=$2
        shift
        ;;
      --every) need_value "$@"; need_count "$1" "$2" 1 60; EVERY=$2; shift ;;
      -h | --help) usage; exit 0 ;;
      *) die_usage "unknown argument: $1" ;;
    esac
    shift
  done
}

RELAY=()
start_relay() {  # start_relay NUMBER
  on "p$1" "$PROGRAM" serve --state "$TEMP_FOLDER/state-$1" --listen "tcp://0.0.0.0:$CONTROL_PORT" \
    --data "$DATA_PORT" --public-host "$(address "p$1")" --neighbour-file "$TEMP_FOLDER/neighbours" \
    >"$TEMP_FOLDER/relay-$1" 2>>"$TEMP_FOLDER/relay-$1.log" &
  RELAY[$1]=$!
  disown "$!"  # bash shall not report how it ended
}

# Before the first relay has run.
write_neighbours() {
  local i key
  : >"$TEMP_FOLDER/neighbours"
  [[ $APART ]] || return 0
  for ((i = 1; i <= RELAYS; i++)); do
    key=$("$PROGRAM" identity --state "$TEMP_FOLDER/state-$i")
    echo "tcp://$(address "p$i"):$CONTROL_PORT#$key,data=$DATA_PORT"
  done >>"$TEMP_FOLDER/neighbours"
}

# ticket-0 and ticket-1: the same, or each with one relay; a ticket's relays are lines of it.
write_tickets() {
  local i
  for i in 0 1; do
    (umask 077 && awk -v apart="$APART" -v wanted="$((i % RELAYS + 1))" \
      '!apart || !/^relay / || ++number == wanted' "$TEMP_FOLDER/ticket" >"$TEMP_FOLDER/ticket-$i")
  done
}

word_of() {  # word_of NUMBER: what the relay prints for tickets
  local i
  for ((i = 0; i < 2400; i++)); do
    if [[ -s $TEMP_FOLDER/relay-$1 ]]; then
      head -n 1 "$TEMP_FOLDER/relay-$1"
      return
    fi
    sleep 0.05
  done
  cat "$TEMP_FOLDER/relay-$1.log" >&2
  die "$EXIT_UNAVAILABLE" "relay $1 did not start"
}

PEER=()
start_peer() {  # start_peer STAGE OPTION...
  local stage=$1
  shift
  on "h$((stage + 1))" "$PEER_PROGRAM" --stage "$stage" --ticket "$TEMP_FOLDER/ticket-$stage" \
    --key "$TEMP_FOLDER/peer-$stage.key" --count "$COUNT" --flips "$FLIPS" --pause-us "$PAUSE_US" \
    ${DIRECT:+--direct} ${PUNCH:+--punch} "$@" >"$TEMP_FOLDER/peer-$stage" 2>"$TEMP_FOLDER/peer-$stage.log" &
  PEER[stage]=$!
}

# They write into the temporary folder, which goes after them.
# shellcheck disable=SC2317  # called at exit
end_relays() {
  local process i
  for process in "${RELAY[@]}"; do
    kill -KILL "$process" 2>/dev/null || true
    for ((i = 0; i < 100; i++)); do
      kill -0 "$process" 2>/dev/null || break
      sleep 0.05
    done
  done
}

peers_run() { kill -0 "${PEER[0]}" 2>/dev/null && kill -0 "${PEER[1]}" 2>/dev/null; }

# What is broken before there are messages breaks none. A peer that cannot meet the other one ends.
await_meeting() {
  while peers_run; do
    if [[ -s $TEMP_FOLDER/peer-0 && -s $TEMP_FOLDER/peer-1 ]]; then return; fi
    sleep 0.05
  done
}

# Its successor listens on the same ports, and locks the same state.
kill_relay() {  # kill_relay NUMBER
  local state=''
  kill -KILL "${RELAY[$1]}"
  until [[ $state == [ZX] ]]; do
    { read -r _ _ state _ <"/proc/${RELAY[$1]}/stat"; } 2>/dev/null || return 0
    sleep 0.01
  done
}

# What a host sees of its link, or of the router behind it, while that is out of order.
link_down() {
  if [[ -n $DROP ]]; then
    on router1 nft add table ip outage
    on router1 nft add chain ip outage everything '{ type filter hook forward priority -10; policy drop; }'
  else
    on h1 ip link set eth0 down
  fi
}

link_up() {
  if [[ -n $DROP ]]; then
    on router1 nft delete table ip outage
  else
    on h1 ip link set eth0 up
    on h1 ip route replace default via 192.168.1.1
  fi
}

# Moments from which messages are waited for.
MOMENTS=()

torment() {
  local kill_count=0 bounce_count=0 number=1
  while peers_run && ((kill_count < KILLS || bounce_count < BOUNCES)); do
    sleep "$EVERY"
    if ((kill_count < KILLS)); then
      kill_relay "$number"
      MOMENTS+=("$EPOCHREALTIME")
      sleep 1
      start_relay "$number"
      number=$((number % RELAYS + 1)) kill_count=$((kill_count + 1))
    fi
    if ((bounce_count < BOUNCES)); then
      link_down
      sleep "$DOWN"
      MOMENTS+=("$EPOCHREALTIME")  # before: the first message may be faster than we are
      link_up
      bounce_count=$((bounce_count + 1))
    fi
  done
  printf '{"kills": %d, "bounces": %d}\n' "$kill_count" "$bounce_count"
}

# gaps MOMENT...: from both peers' reports, the ends of the silences that a moment fell into or was
# soon followed by: what is on its way when a relay dies still arrives.
gaps() {
  cat "$TEMP_FOLDER/peer-0" "$TEMP_FOLDER/peer-1" | grep '^{' | jq -cs --args '
    map(.silences) as $peers |
    [$ARGS.positional[] | tonumber as $moment |
     [$peers[][] | select(.[0] - 0.5 <= $moment and $moment < .[1]) | .[1] - $moment] | max // 0 |
     . * 1000 | round / 1000] |
    {gaps_s: ., longest_gap_s: (max // 0)}' "$@"
}

main() {
  parse_options "$@"
  PROGRAM=$(find_program ptrain-relay)
  PEER_PROGRAM=$ROOT/build/release/tests/numbered_messages
  make_temp_folder
  local -a words=() reach=()
  local i word code=0
  write_neighbours
  for ((i = 1; i <= RELAYS; i++)); do
    start_relay "$i"
    word=$(word_of "$i")
    words+=(--relay "$word")
  done
  "$PROGRAM" ticket new --run numbered "${words[@]}" --out "$TEMP_FOLDER/ticket" >/dev/null
  write_tickets
  if [[ -n $DIRECT ]] || { ((FLIPS > 0)) && [[ -z $PUNCH ]]; }; then
    # A port that somebody opened in the router, so that a direct path exists.
    router h1 forward tcp "$PEER_PORT"
    reach=(--listen "tcp://0.0.0.0:$PEER_PORT" --announce "tcp://$(address h1):$PEER_PORT")
  fi
  if [[ -n $SLOW ]]; then
    on router1 tc qdisc replace dev wan root tbf rate "$SLOW" burst 16kb latency 4s
    on router1 tc qdisc replace dev lan root tbf rate "$SLOW" burst 16kb latency 4s
  fi
  start_peer 0 "${reach[@]}"
  start_peer 1
  await_meeting
  torment
  on_exit end_relays
  for i in 0 1; do
    wait "${PEER[i]}" || code=$?
    tail -n 1 "$TEMP_FOLDER/peer-$i"
    if ((code != 0)); then
      cat "$TEMP_FOLDER/peer-$i.log" >&2
      exit "$code"
    fi
  done
  gaps "${MOMENTS[@]}"
}

main "$@"
