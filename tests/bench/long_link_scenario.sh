#!/usr/bin/env bash
# One run of tests/bench/long_link.sh: from h1 to h2, first iperf3, then a session.
# shellcheck source=../../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../recipes/lib.sh"

readonly SESSION=${PTRAIN_BIN:-$ROOT/build/release/bin}/../tests/bench_long_link_session
readonly CONTROL_PORT=7100 DATA_PORT=7101 PEER_PORT=7200 IPERF_PORT=5201
readonly READY_TIMEOUT_S=30

usage() {
  cat <<'TEXT'
usage: long_link_scenario.sh [--seconds N] [--streams LIST] [--connections LIST] [--paths LIST]

Inside the laboratory (recipes/lab/lab.sh --hosts 2 --public 1): prints a JSON object a line for
iperf3 with each number of streams, and for one session over each path with each number of
connections, over the same links, one after the other. The router of h2 lets in what the direct
path needs. LISTs are separated by commas; --streams may be an empty one. With --every MS the session
sends a message so often, not as many as it can, and the object says how long each took.
TEXT
}

SECONDS_EACH=10 STREAMS=1,4 CONNECTIONS=1 PATHS=direct,relayed EVERY=0

parse_options() {
  while (($#)); do
    case $1 in
      --seconds) need_value "$@"; need_count "$1" "$2" 1 600; SECONDS_EACH=$2; shift ;;
      --streams) need_value "$@"; STREAMS=$2; shift ;;
      --connections) need_value "$@"; CONNECTIONS=$2; shift ;;
      --every) need_value "$@"; need_count "$1" "$2" 0 60000; EVERY=$2; shift ;;
      --paths) need_value "$@"; PATHS=$2; shift ;;
      -h | --help) usage; exit 0 ;;
      *) die_usage "unknown argument: $1" ;;
    esac
    shift
  done
}

await() {  # await WHAT PROCESS COMMAND...: until the command succeeds; PROCESS must go on
  local deadline=$((SECONDS + READY_TIMEOUT_S))
  until "${@:3}"; do
    if ! kill -0 "$2" 2>/dev/null || ((SECONDS >= deadline)); then
      die "$EXIT_UNAVAILABLE" "$1 did not start"
    fi
    sleep 0.05
  done
}

listens() { [[ -n $(on h2 ss -Hltn "sport = :$IPERF_PORT") ]]; }

iperf() {  # iperf STREAMS
  local server
  on h2 iperf3 --server --one-off --port "$IPERF_PORT" >/dev/null 2>&1 &
  server=$!
  await iperf3 "$server" listens
  on h1 iperf3 --client "$(address h2)" --port "$IPERF_PORT" --time "$SECONDS_EACH" \
    --parallel "$1" --json >iperf.json || die "$EXIT_UNAVAILABLE" "iperf3: $(jq -r .error iperf.json)"
  wait "$server" || true
  jq -c --argjson streams "$1" '{name: "iperf3", streams: $streams,
    bits_per_s: .end.sum_received.bits_per_second, retransmits: .end.sum_sent.retransmits}' iperf.json
}

start_relay() {
  local program word
  program=$(find_program ptrain-relay)
  on p1 "$program" serve --state relay-state --listen "tcp://0.0.0.0:$CONTROL_PORT" \
    --data "$DATA_PORT" --public-host "$(address p1)" >relay 2>relay.log &
  RELAY=$!
  await ptrain-relay "$RELAY" test -s relay
  word=$(head -n 1 relay)
  "$program" ticket new --run long-link --relay "$word" --out ticket >/dev/null
}

# It writes into the temporary folder, which goes after it.
# shellcheck disable=SC2317  # called at exit
end_relay() {
  kill -KILL "$RELAY" 2>/dev/null || true
  wait "$RELAY" 2>/dev/null || true
}

session() {  # session PATH CONNECTIONS
  local receiver sender code=0
  local -a both=(--ticket ticket --path "$1" --connections "$2" --every-ms "$EVERY") reach=()
  if [[ $1 == direct ]]; then
    reach=(--listen "tcp://0.0.0.0:$PEER_PORT" --announce "tcp://$(address h2):$PEER_PORT")
  fi
  on h2 "$SESSION" --stage 0 "${both[@]}" "${reach[@]}" --key key-0 --seconds "$SECONDS_EACH" \
    >received 2>received.log &
  receiver=$!
  on h1 "$SESSION" --stage 1 "${both[@]}" --key key-1 >/dev/null 2>sent.log &
  sender=$!
  wait "$receiver" || code=$?
  kill -KILL "$sender" 2>/dev/null || true
  wait "$sender" 2>/dev/null || true
  if ((code != 0)); then
    cat received.log sent.log relay.log >&2
    die "$EXIT_UNAVAILABLE" "the session over a $1 path failed"
  fi
  jq -c '{name: "session"} + .' received
}

main() {
  parse_options "$@"
  make_temp_folder
  cd "$TEMP_FOLDER"
  router h2 forward tcp "$IPERF_PORT"
  router h2 forward tcp "$PEER_PORT"
  local count path
  for count in ${STREAMS//,/ }; do iperf "$count"; done
  start_relay
  on_exit end_relay
  for path in ${PATHS//,/ }; do
    for count in ${CONNECTIONS//,/ }; do session "$path" "$count"; done
  done
}

main "$@"
