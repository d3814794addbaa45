#!/usr/bin/env bash
# What the relay's data port carries, and what a byte costs, against others in the same run.
# shellcheck source=../../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../recipes/lib.sh"

readonly SCENARIO=$ROOT/tests/bench/relay_scenario.sh
readonly TURN_PORT=34780
readonly TURN_CLIENTS=4 TURN_MESSAGES=30000 TURN_BYTES=1200  # UDP payloads

usage() {
  cat <<'TEXT'
usage: relay.sh [--rate RATE] [--seconds N] [--against PROGRAM [--rounds N]] [--out FILE]

  link      one stream from h1 to h2 through a relay on p1 (recipes/lab/lab.sh; needs root)
            over what iperf3 carries from h1 to p1, every host's link shaped to RATE
  flows     64 streams at once over the same link, four times as long, because TCP itself needs
            that to settle: Jain's index of fairness, at the end and after 3 and 10 s
  direct    the same for 64 streams from h1 to p1 without a relay, which is what TCP does alone
  loopback  CPU seconds of the relay's process for a gigabyte
  coturn    the same for turnserver, with UDP payloads of 1200 bytes; a message passes two
            allocations, so its bytes count twice. Skipped where it is not installed
  router    the same for a ROUTER-to-ROUTER relay with CURVE (tests/bench/relay_router_peer.cc)

Prints a line for each and, with --out, one JSON object. Run it on a quiet machine.

With --against, only this checkout's ptrain-relay and another one, of the same version of the relay's
protocol: both as people run them, over loopback, in turn, and whichever was second begins the next
round. The summary has the medians of both, and ours over the other's.

  --rate RATE   default 1gbit
  --seconds N   of each stream, default 5
  --against PROGRAM
                another ptrain-relay
  --rounds N    of each, default 5
  --out FILE    the numbers as JSON

Example:
  ./tests/bench/relay.sh --against ~/old/bin/ptrain-relay
TEXT
}

RATE=1gbit EACH=5 OUT='' AGAINST='' ROUNDS=5

parse_options() {
  while (($#)); do
    case $1 in
      --rate) need_value "$@"; RATE=$2; shift ;;
      --seconds) need_value "$@"; need_count "$1" "$2" 1 100; EACH=$2; shift ;;
      --against)
        need_value "$@"
        [[ -x $2 && ! -d $2 ]] || die_usage "--against $2: expected a program"
        AGAINST=$2
        shift
        ;;
      --rounds) need_value "$@"; need_count "$1" "$2" 1 100; ROUNDS=$2; shift ;;
      --out) need_value "$@"; OUT=$2; shift ;;
      -h | --help) usage; exit 0 ;;
      *) die_usage "unknown argument: $1" ;;
    esac
    shift
  done
}

# note NAME: the JSON object on stdin, with a name, shown and kept
note() { jq -c --arg name "$1" '{name: $name} + .' | tee -a "$TEMP_FOLDER/measured"; }

in_lab() {
  "$ROOT/recipes/lab/lab.sh" --hosts 2 --public 1 --rate "$RATE" -- "$SCENARIO" --lab "$@"
}

# cpu_ticks PROCESS: user and system time
cpu_ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }

coturn() {
  if ! command -v turnserver >/dev/null || ! command -v turnutils_uclient >/dev/null; then
    say "coturn is not installed: not compared (apt-get install coturn)"
    return
  fi
  turnserver -n --no-auth --listening-ip 127.0.0.1 --relay-ip 127.0.0.1 \
    --listening-port "$TURN_PORT" --no-tls --no-dtls --no-cli --allow-loopback-peers \
    --relay-threads 1 --log-file stdout --pidfile "$TEMP_FOLDER/turn.pid" >"$TEMP_FOLDER/turn" 2>&1 &
  local server=$!
  on_exit "kill $server 2>/dev/null || true"
  until [[ -n $(ss -Hlun "sport = :$TURN_PORT") ]]; do
    kill -0 "$server" 2>/dev/null || die "$EXIT_IO" "turnserver ended: $(tail -n 1 "$TEMP_FOLDER/turn")"
    sleep 0.05
  done
  local before after
  before=$(cpu_ticks "$server")
  turnutils_uclient -y -c -X -n "$TURN_MESSAGES" -l "$TURN_BYTES" -m "$TURN_CLIENTS" -z 0 \
    -p "$TURN_PORT" 127.0.0.1 >"$TEMP_FOLDER/turned" 2>&1
  after=$(cpu_ticks "$server")
  kill "$server"
  grep -o 'tot_send_bytes ~ [0-9]*, tot_recv_bytes ~ [0-9]*' "$TEMP_FOLDER/turned" | tail -n 1 |
    awk -v ticks=$((after - before)) -v hertz="$(getconf CLK_TCK)" '{ bytes = $3 + $6
      printf "{\"bytes\": %d, \"cpu_s_per_gb\": %g}\n", bytes, ticks / hertz / (bytes / 1e9) }' |
    note coturn
}

summary() {
  jq -s 'def of(name; field): (map(select(.name == name)) | .[0] // {} | field) // null;
    def over(name): of("loopback"; .cpu_s_per_gb) as $own | of(name; .cpu_s_per_gb) |
      if . == null then null else . / $own end;
    of("flows"; .jain_index) as $relayed | of("direct"; .jain_index) as $direct |
    {of_link: of("link"; .of_link), jain_index: $relayed, direct_jain_index: $direct,
     jain_over_direct: ($relayed / $direct),
     jain_over_direct_after: ([of("flows"; .marks), of("direct"; .marks)] | transpose | map(
       {key: "\(.[0].after_s) s", value: (.[0].jain_index / .[1].jain_index)}) | from_entries),
     cpu_s_per_gb: of("loopback"; .cpu_s_per_gb),
     loopback_bits_per_s: of("loopback"; .bits_per_s),
     coturn_over_own: over("coturn"), router_over_own: over("router")}' "$TEMP_FOLDER/measured"
}

# compared NAME: one more round of it
compared() {
  local program=$AGAINST
  if [[ $1 == own ]]; then program=$(find_program ptrain-relay); fi
  "$SCENARIO" --program "$program" --seconds "$EACH" | note "$1"
}

compare() {
  local round
  for ((round = 0; round < ROUNDS; round++)); do
    if ((round % 2)); then
      compared own
      compared other
    else
      compared other
      compared own
    fi
  done
}

comparison() {
  jq -s 'def median: sort | (.[(length - 1) / 2 | floor] + .[length / 2 | floor]) / 2;
    def of(name): map(select(.name == name)) |
      {bits_per_s: (map(.bits_per_s) | median), cpu_s_per_gb: (map(.cpu_s_per_gb) | median)};
    of("own") as $own | of("other") as $other |
    {own: $own, other: $other, bits_over_other: ($own.bits_per_s / $other.bits_per_s),
     cpu_over_other: ($own.cpu_s_per_gb / $other.cpu_s_per_gb)}' "$TEMP_FOLDER/measured"
}

main() {
  parse_options "$@"
  need_tool jq jq
  need_tool ss iproute2
  make_temp_folder
  if [[ -n $AGAINST ]]; then
    compare
    comparison | tee ${OUT:+"$OUT"}
    return
  fi
  "$SCENARIO" --seconds "$EACH" | note loopback
  "$ROOT/build/release/tests/bench_relay_router_peer" | note router
  coturn
  in_lab --seconds "$EACH" | note link
  in_lab --streams 64 --seconds $((4 * EACH)) --marks 3,10 | note flows
  in_lab --direct --streams 64 --seconds $((4 * EACH)) --marks 3,10 | note direct
  summary | tee ${OUT:+"$OUT"}
}

main "$@"
