#!/usr/bin/env bash
# A link as ptrain-probe measures it, and as others do. Inside the laboratory (recipes/lab/lab.sh),
# where h1 measures the link to p1, or, with --relayed, to h2 through a relay on p1.
# shellcheck source=../../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../recipes/lib.sh"

readonly ASKER=h1
readonly PORT=7300 CONTROL_PORT=7100 DATA_PORT=7101 IPERF_PORT=5201

usage() {
  cat <<'TEXT'
usage: probe_scenario.sh [--relayed] [--peers SECONDS] [OPTION OF ptrain-probe link]...

Prints one JSON object: what ptrain-probe link says, as .probe, and how long it took, as .seconds.

  --relayed        to h2, through a relay on p1
  --peers SECONDS  iperf3 for so long each way, as .iperf_to and .iperf_from, in bits a second, and
                   its bytes, and ping, as .ping_s; not through a relay

Example:
  ./recipes/lab/lab.sh --rate 20mbit --delay 25 -- tests/net/probe_scenario.sh --max-time 5
TEXT
}

RELAYED='' PEERS=0 OPTIONS=()

parse_options() {
  while (($#)); do
    case $1 in
      --relayed) RELAYED=yes ;;
      --peers) need_value "$@"; need_count "$1" "$2" 1 600; PEERS=$2; shift ;;
      -h | --help) usage; exit 0 ;;
      *) OPTIONS+=("$1") ;;
    esac
    shift
  done
  [[ -z $RELAYED || $PEERS == 0 ]] || die_usage "--peers: not with --relayed"
}

# begin NAME HOST COMMAND...: in the background there, until its first line, which is in FIRST
begin() {
  local name=$1 host=$2
  shift 2
  on "$host" "$@" >"$TEMP_FOLDER/$name" 2>"$TEMP_FOLDER/$name.err" &
  until [[ -s $TEMP_FOLDER/$name ]]; do
    kill -0 $! 2>/dev/null || die "$EXIT_UNAVAILABLE" "no $name on $host: $(<"$TEMP_FOLDER/$name.err")"
    sleep 0.05
  done
  FIRST=$(head -n 1 "$TEMP_FOLDER/$name")
}

own_key() {  # own_key NAME: the public key of that file, which is made
  "$PROBE" link tcp://127.0.0.1:1 --key "$TEMP_FOLDER/$1" --timeout 0.1 >/dev/null 2>&1 || true
  awk '$1 == "public" { print $2 }' "$TEMP_FOLDER/$1"
}

serve_directly() {
  begin server p1 "$PROBE" serve --listen "tcp://0.0.0.0:$PORT" --key "$TEMP_FOLDER/server.key" \
    --admit "$(own_key asker.key)" --max-bytes 1GB --max-time 600
  PEER=(tcp://"$(address p1):$PORT#${FIRST#*#}")
}

serve_relayed() {
  local relay
  relay=$(find_program ptrain-relay)
  begin relay p1 "$relay" serve --state "$TEMP_FOLDER/relay-state" --listen "tcp://0.0.0.0:$CONTROL_PORT" \
    --data "$DATA_PORT" --public-host "$(address p1)"
  "$relay" ticket new --run probes --relay "$FIRST" --out "$TEMP_FOLDER/ticket" >"$TEMP_FOLDER/ticket.txt"
  begin server h2 "$PROBE" serve --ticket "$TEMP_FOLDER/ticket" --name far --key "$TEMP_FOLDER/server.key" \
    --max-bytes 1GB --max-time 600
  PEER=(far --ticket "$TEMP_FOLDER/ticket")
}

# iperf DIRECTION-OPTION...: JSON of bits a second and bytes, of what arrived
iperf() {
  on p1 iperf3 --server --one-off --port "$IPERF_PORT" >/dev/null 2>&1 &
  local server=$!
  until [[ -n $(on p1 ss -Hltn "sport = :$IPERF_PORT") ]]; do
    kill -0 "$server" 2>/dev/null || die "$EXIT_IO" "iperf3 does not listen"
    sleep 0.05
  done
  on "$ASKER" iperf3 --client "$(address p1)" --port "$IPERF_PORT" --time "$PEERS" --json "$@" |
    jq -c '.end.sum_received | {bits_per_second, bytes}'
  wait "$server" || true
}

measure_as_others() {
  need_tool iperf3 iperf3
  need_tool ping iputils-ping
  local ping_s
  # Of the same many as ptrain-probe asks for; the median.
  ping_s=$(on "$ASKER" ping -c 100 -i 0.02 -q -n "$(address p1)" >/dev/null &&
    on "$ASKER" ping -c 100 -i 0.02 -n "$(address p1)" | sed -n 's/.* time=\([0-9.]*\) ms/\1/p' |
    sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] / 1000 }')
  jq -nc --argjson to "$(iperf)" --argjson from "$(iperf --reverse)" --argjson ping "$ping_s" \
    '{iperf_to: $to, iperf_from: $from, ping_s: $ping}'
}

main() {
  parse_options "$@"
  make_temp_folder
  PROBE=$(find_program ptrain-probe)
  local peers='{}' begin_s end_s record
  if [[ $RELAYED ]]; then serve_relayed; else serve_directly; fi
  if ((PEERS)); then peers=$(measure_as_others); fi
  begin_s=$EPOCHREALTIME
  record=$(on "$ASKER" "$PROBE" link "${PEER[@]}" --key "$TEMP_FOLDER/asker.key" --json "${OPTIONS[@]}")
  end_s=$EPOCHREALTIME
  jq -c --argjson peers "$peers" --arg began "$begin_s" --arg ended "$end_s" \
    '{seconds: (($ended | tonumber) - ($began | tonumber)), probe: .} + $peers' <<<"$record"
}

main "$@"
