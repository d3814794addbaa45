#!/usr/bin/env bash
# One run of tests/bench/relay.sh: a relay, and a sender and a receiver that both dial it.
# shellcheck source=../../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../recipes/lib.sh"

readonly STREAM=$ROOT/build/release/tests/bench_relay_stream
readonly IPERF_PORT=5201

usage() {
  cat <<'TEXT'
usage: relay_scenario.sh [--lab] [--streams N] [--seconds N]

Prints one JSON object: what the receiver got, and what the relay's process cost. With --lab,
inside the laboratory (recipes/lab/lab.sh --hosts 2 --public 1), the relay is p1, the sender h1
and the receiver h2, and iperf3 says first what the link from h1 to p1 carries.
TEXT
}

STREAMS=1 SECONDS_EACH=5 IN_LAB=''

parse_options() {
  while (($#)); do
    case $1 in
      --lab) IN_LAB=yes ;;
      --streams) need_value "$@"; need_count "$1" "$2" 1 256; STREAMS=$2; shift ;;
      --seconds) need_value "$@"; need_count "$1" "$2" 1 600; SECONDS_EACH=$2; shift ;;
      -h | --help) usage; exit 0 ;;
      *) die_usage "unknown argument: $1" ;;
    esac
    shift
  done
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

main() {
  parse_options "$@"
  make_temp_folder
  local host=127.0.0.1 link=null
  if [[ -n $IN_LAB ]]; then
    host=$(address p1)
    link=$(link_bits_per_s "$host")
  fi
  cd "$TEMP_FOLDER"
  mkfifo until_then
  at p1 "$STREAM" relay --host "$host" --streams "$STREAMS" <until_then >joins &
  local relay=$!
  exec 3>until_then
  until [[ -s joins ]]; do
    kill -0 "$relay" 2>/dev/null || die "$EXIT_IO" "the relay did not start"
    sleep 0.05
  done
  local -a where
  where=(--host "$host" --port "$(jq -r .port joins)")
  at h2 "$STREAM" receive "${where[@]}" --tokens "$(jq -r '.high | join(",")' joins)" >received 3>&- &
  local receiver=$!
  at h1 "$STREAM" send "${where[@]}" --tokens "$(jq -r '.low | join(",")' joins)" \
    --seconds "$SECONDS_EACH" 3>&-
  wait "$receiver"
  exec 3>&-
  wait "$relay"
  jq -cs --argjson link "$link" '.[0] + {link_bits_per_s: $link, of_link:
    (if $link == null then null else .[0].bits_per_s / $link end),
    cpu_s_per_gb: .[1].cpu_s_per_gb}' received <(tail -n 1 joins)
}

main "$@"
