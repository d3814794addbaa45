#!/usr/bin/env bash
# What a relay's registry weighs, and how fast it answers, with thousands of members.
# shellcheck source=../../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../recipes/lib.sh"

readonly BENCHES=$ROOT/build/release/tests
readonly LEASE_SECONDS=3600  # nobody's ends during the measurement

usage() {
  cat <<'TEXT'
usage: relay_registry.sh [--peers N] [--connected N] [--rate N] [--seconds N] [--only PART]... [--out FILE]

Peers register at one ptrain-relay, over CURVE on loopback, each with its own key; they come from
250 addresses, so that the relay's usual limits for a host hold. One run has 1200 members, the
others 4 to 64. Those that stay connected watch their run, renew every ten seconds, and look up
the members at a steady rate; each answer is compared with what was registered. Then the same
records are put into redis-server with as many connections, without encryption: skipped where it
is not installed.

Two more relays: one has 1000 members that all watch one run, in which one comes or goes each second;
the other 10,000 registrations over 2,500 connections, and 2,000 streams, 4,000 connections at its data
port, between those that have them.

Prints a line for each and, with --out, one JSON object: resident memory of the relay (at most
200 MB is wanted, with the defaults) and the median time of a look-up (at most 5 ms); the share of a
core that the watched relay takes (less than 0.05); and the memory of the full one (less than 256 MiB,
140 by ptrain-relay(1)). Run it on a quiet machine.

  --peers N      registered, default 10000
  --connected N  of them connected, default 2000; a multiple of 4
  --rate N       look-ups a second, default 200
  --seconds N    of look-ups, and of coming and going, default 15
  --only PART    relay, redis, watch or fill; may be given again
  --out FILE     the numbers as JSON

Example:
  ./tests/bench/relay_registry.sh --only watch --only fill --seconds 60
TEXT
}

readonly PARTS=(relay redis watch fill)
ONLY=()
PEERS=10000 CONNECTED=2000 RATE=200 SECONDS_EACH=15 OUT=''

parse_options() {
  while (($#)); do
    case $1 in
      --peers) need_value "$@"; need_count "$1" "$2" 1500 100000; PEERS=$2; shift ;;
      --connected) need_value "$@"; need_count "$1" "$2" 8 5000; CONNECTED=$2; shift ;;
      --rate) need_value "$@"; need_count "$1" "$2" 1 10000; RATE=$2; shift ;;
      --seconds) need_value "$@"; need_count "$1" "$2" 1 600; SECONDS_EACH=$2; shift ;;
      --only)
        need_value "$@"
        [[ " ${PARTS[*]} " == *" $2 "* ]] || die_usage "--only $2: expected one of ${PARTS[*]}"
        ONLY+=("$2")
        shift
        ;;
      --out) need_value "$@"; OUT=$2; shift ;;
      -h | --help) usage; exit 0 ;;
      *) die_usage "unknown argument: $1" ;;
    esac
    shift
  done
  if ((${#ONLY[@]} == 0)); then ONLY=("${PARTS[@]}"); fi
  ((CONNECTED % 4 == 0)) || die_usage "--connected $CONNECTED: a multiple of 4"
}

# weight PROCESS: its memory now and at most, in bytes, and its CPU time, as JSON
weight() {
  awk -v ticks="$(awk '{ print $14 + $15 }' "/proc/$1/stat")" -v hertz="$(getconf CLK_TCK)" '
    /^VmRSS/ { now = $2 * 1024 } /^VmHWM/ { peak = $2 * 1024 }
    END { printf "{\"rss_bytes\": %d, \"peak_rss_bytes\": %d, \"cpu_s\": %g}\n",
          now, peak, ticks / hertz }' "/proc/$1/status"
}

# next_line FILE COUNT PROCESS: waits until the file has that many lines; shows the last
next_line() {
  until (($(wc -l <"$1") >= $2)); do
    kill -0 "$3" 2>/dev/null || die "$EXIT_IO" "the members ended"
    sleep 0.1
  done
  sed -n "$2p" "$1"
}

# The relay's own word for it: as many members as came, and no run lost.
check_registered() {
  local expected=$1 listed runs members
  listed=$("$RELAY" peers --state state --json | jq -r '[.run, .peer, .role] | join(" ")' |
    sort -u | wc -l)
  runs=$("$RELAY" runs --state state --json | wc -l)
  members=$("$RELAY" runs --state state --json | jq -s 'map(.members) | add')
  [[ $listed == "$PEERS" && $members == "$PEERS" && $runs == "$(jq .runs <<<"$expected")" ]] ||
    die "$EXIT_IO" "the relay lists $listed peers, and $members in $runs runs, not $PEERS"
}

# measure NAME SERVER CHECK COMMAND...: one JSON object, with the server's weight before anything
# came, when all had registered, and after the look-ups
measure() {
  local name=$1 server=$2 check=$3 empty registered looked full after
  shift 3
  empty=$(weight "$server")
  rm -f until_then
  mkfifo until_then
  : >phases
  "$@" --peers "$PEERS" --connected "$CONNECTED" --rate "$RATE" --seconds "$SECONDS_EACH" \
    <until_then >phases &
  local client=$!
  on_exit "kill $client 2>/dev/null || true"
  exec 3>until_then
  registered=$(next_line phases 1 "$client")
  sleep 1
  full=$(weight "$server")
  $check "$registered"
  local before
  before=$(weight "$server")
  echo >&3
  looked=$(next_line phases 2 "$client")
  after=$(weight "$server")
  exec 3>&-
  wait "$client"
  jq -nc --arg name "$name" --argjson empty "$empty" --argjson full "$full" \
    --argjson before "$before" --argjson after "$after" --argjson registered "$registered" \
    --argjson looked "$looked" \
    '{name: $name} + $registered + $looked + {empty_rss_bytes: $empty.rss_bytes,
      rss_bytes: $after.rss_bytes, peak_rss_bytes: $after.peak_rss_bytes,
      register_cpu_s: ($full.cpu_s - $empty.cpu_s), look_up_cpu_s: ($after.cpu_s - $before.cpu_s)}'
}

# start_relay FOLDER: its pid in $SERVER, what it prints in events
start_relay() {
  rm -f events
  "$RELAY" serve --state "$1" --listen tcp://127.0.0.1:0 --data 0 --lease "$LEASE_SECONDS" \
    --max-peers "$((PEERS > 16384 ? PEERS : 16384))" --json 2>relay_says >events &
  SERVER=$!
  on_exit "kill $SERVER 2>/dev/null || true"
  until [[ -s events ]]; do
    kill -0 "$SERVER" 2>/dev/null || die "$EXIT_IO" "the relay ended: $(tail -n 1 relay_says)"
    sleep 0.05
  done
}

end_relay() {
  kill "$SERVER"
  wait "$SERVER" || true
}

relay() {
  start_relay state
  measure relay "$SERVER" check_registered "$BENCHES/bench_relay_registry" \
    --relay "$(head -n 1 events | jq -r .endpoint)" | tee -a measured
  end_relay
}

# crowd NAME ARGUMENT...: what tests/net/relay_attacker.cc says of it, of a relay of its own
crowd() {
  local name=$1
  shift
  start_relay "state-$name"
  "$BENCHES/relay_attacker" "$name" "$(head -n 1 events | jq -r .relay)" pid="$SERVER" "$@" |
    jq -c --arg name "$name" '{name: $name} + .' | tee -a measured
  end_relay
}

watch() { crowd watch members=1000 seconds="$SECONDS_EACH"; }
fill() { crowd fill members=10000 streams=2000; }

redis() {
  if ! command -v redis-server >/dev/null; then
    say "redis-server is not installed: not compared (apt-get install redis-server)"
    return
  fi
  local port=16379
  redis-server --port "$port" --bind 127.0.0.1 --save '' --appendonly no \
    --maxclients "$((CONNECTED + 64))" >redis_says &
  local server=$!
  on_exit "kill $server 2>/dev/null || true"
  until [[ -n $(ss -Hltn "sport = :$port") ]]; do
    kill -0 "$server" 2>/dev/null || die "$EXIT_IO" "redis-server ended: $(tail -n 1 redis_says)"
    sleep 0.05
  done
  measure redis "$server" : "$BENCHES/bench_relay_redis_peer" --port "$port" | tee -a measured
  kill "$server"
  wait "$server" || true
}

summary() {
  jq -s '(map(select(.name == "relay")) | .[0]) as $own |
    (map(select(.name == "redis")) | .[0]) as $redis |
    (map(select(.name == "watch")) | .[0] | del(.name)?) as $watch |
    (map(select(.name == "fill")) | .[0] | del(.name)?) as $fill |
    def over(field): if $redis == null then null else ($own | field) / ($redis | field) end;
    $own + {redis_rss_bytes: $redis.rss_bytes, redis_median_ms: $redis.median_ms,
      rss_over_redis: over(.rss_bytes), median_over_redis: over(.median_ms),
      look_up_cpu_over_redis: over(.look_up_cpu_s)} | del(.name) |
    . + {watch: $watch, fill: $fill}' measured
}

main() {
  parse_options "$@"
  need_tool jq jq
  need_tool ss iproute2
  RELAY=$(find_program ptrain-relay)
  [[ -z $OUT ]] || OUT=$(realpath -m "$OUT")
  make_temp_folder
  cd "$TEMP_FOLDER"
  local part
  for part in "${ONLY[@]}"; do "$part"; done
  summary | tee ${OUT:+"$OUT"}
}

main "$@"
