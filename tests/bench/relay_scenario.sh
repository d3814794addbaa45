#!/usr/bin/env bash
# One run of tests/bench/relay.sh: a relay, and a sender and a receiver that both dial it.
# shellcheck source=../../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../recipes/lib.sh"

readonly STREAM=$ROOT/build/release/tests/bench_relay_stream
readonly PAIRS=$ROOT/build/release/tests/bench_relay_pairs
readonly IPERF_PORT=5201

usage() {
  cat <<'TEXT'
usage: relay_scenario.sh [--lab [--direct]] [--program FILE] [--streams N] [--seconds N] [--marks S,S...]

Prints one JSON object: what the receiver got, and what the relay's process cost. With --lab,
inside the laboratory (recipes/lab/lab.sh --hosts 2 --public 1), the relay is p1, the sender h1
and the receiver h2, and iperf3 says first, for one stream, what the link from h1 to p1 carries.
With --direct nothing is relayed: p1 receives what h1 sends. The streams are compared at the end,
and after the seconds that --marks has. With --program the relay is that ptrain-relay, as people
run it, and not this checkout's data port alone.
TEXT
}

STREAMS=1 SECONDS_EACH=5 IN_LAB='' DIRECT='' PROGRAM='' MARKS=()

parse_options() {
  while (($#)); do
    case $1 in
      --lab) IN_LAB=yes ;;
      --direct) DIRECT=yes ;;
      --program) need_value "$@"; PROGRAM=$(realpath "$2"); shift ;;
      --marks) need_value "$@"; MARKS=(--marks "$2"); shift ;;
      --streams) need_value "$@"; need_count "$1" "$2" 1 256; STREAMS=$2; shift ;;
      --seconds) need_value "$@"; need_count "$1" "$2" 1 600; SECONDS_EACH=$2; shift ;;
      -h | --help) usage; exit 0 ;;
      *) die_usage "unknown argument: $1" ;;
    esac
    shift
  done
  [[ -z $DIRECT || -n $IN_LAB ]] || die_usage "--direct: only with --lab"
  [[ -z $DIRECT || -z $PROGRAM ]] || die_usage "--direct and --program: one of them"
}

# at HOST COMMAND...: there, or here when there is no laboratory.
at() {
  if [[ -n $IN_LAB ]]; then on "$@"; else "${@:2}"; fi
}

link_bits_per_s() {
  local address=$1 server
  need_tool iperf3 iperf3
  on p1 iperf3 --server --one-off --port "$IPERF_PORT" >/dev/null 2>&1 &
  server=$!
  until [[ -n $(on p1 ss -Hltn "sport = :$IPERF_PORT") ]]; do
    kill -0 "$server" 2>/dev/null || die "$EXIT_IO" "iperf3 does not listen"
    sleep 0.05
  done
  on h1 iperf3 --client "$address" --port "$IPERF_PORT" --time "$SECONDS_EACH" --json |
    jq '.end.sum_received.bits_per_second'
  wait "$server" || true
}

# ready FILE PROCESS: waits for its first line
ready() {
  until [[ -s $1 ]]; do
    kill -0 "$2" 2>/dev/null || die "$EXIT_IO" "the receiver or the relay did not start"
    sleep 0.05
  done
}

direct() {
  on p1 "$STREAM" listen --host "$1" --streams "$STREAMS" "${MARKS[@]}" >received &
  local receiver=$!
  ready received "$receiver"
  on h1 "$STREAM" send --host "$1" --port "$(head -n 1 received | jq .port)" \
    --streams "$STREAMS" --seconds "$SECONDS_EACH"
  wait "$receiver"
  tail -n 1 received
}

# Each of these prints what bench_relay_stream's `relay` does: the port and the tokens, and at the end of
# standard input what the relay cost.
own_data_port() { at p1 "$STREAM" relay --host "$1" --streams "$STREAMS"; }

cpu_ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }  # user and system time

whole_program() {
  local -a serve=("$PROGRAM" serve --state state --listen "tcp://$1:0" --data 0 --lease 600)
  if [[ -n $IN_LAB ]]; then serve=(on p1 "${serve[@]}"); fi
  "${serve[@]}" </dev/null >word 2>said &
  local server=$! before
  # shellcheck disable=SC2064  # that one
  trap "kill $server 2>/dev/null || true" EXIT
  ready word "$server"
  before=$(cpu_ticks "$server")
  at h2 "$PAIRS" --relay "$(<word)" --streams "$STREAMS"  # until standard input ends
  awk -v ticks="$(($(cpu_ticks "$server") - before))" -v hertz="$(getconf CLK_TCK)" \
    'BEGIN { printf "{\"cpu_s\": %g}\n", ticks / hertz }'
}

relayed() {
  local host=$1 link=$2 as=own_data_port
  if [[ -n $PROGRAM ]]; then as=whole_program; fi
  mkfifo until_then
  "$as" "$host" <until_then >joins &
  local relay=$!
  exec 3>until_then
  ready joins "$relay"
  local -a where
  where=(--host "$host" --port "$(jq -r .port joins)")
  at h2 "$STREAM" receive "${where[@]}" --tokens "$(jq -r '.high | join(",")' joins)" \
    "${MARKS[@]}" >received 3>&- &
  local receiver=$!
  at h1 "$STREAM" send "${where[@]}" --tokens "$(jq -r '.low | join(",")' joins)" \
    --seconds "$SECONDS_EACH" 3>&-
  wait "$receiver"
  exec 3>&-
  wait "$relay"
  jq -cs --argjson link "$link" '.[0] + {link_bits_per_s: $link, of_link:
    (if $link == null then null else .[0].bits_per_s / $link end),
    cpu_s_per_gb: (.[1].cpu_s / (.[0].bytes / 1e9))}' received <(tail -n 1 joins)
}

main() {
  parse_options "$@"
  make_temp_folder
  local host=127.0.0.1 link=null
  if [[ -n $IN_LAB ]]; then
    host=$(address p1)
    # What the flows share does not depend on it.
    if ((STREAMS == 1)); then link=$(link_bits_per_s "$host"); fi
  fi
  cd "$TEMP_FOLDER"
  if [[ -n $DIRECT ]]; then direct "$host"; else relayed "$host" "$link"; fi
}

main "$@"
