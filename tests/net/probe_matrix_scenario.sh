#!/usr/bin/env bash
# The links between hosts, as ptrain-probe matrix measures them. Inside the laboratory
# (recipes/lab/lab.sh), where p1 has the relay and asks for the matrix.
# shellcheck source=../../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../recipes/lib.sh"

readonly PORT=7300 CONTROL_PORT=7100 DATA_PORT=7101

usage() {
  cat <<'TEXT'
usage: probe_matrix_scenario.sh --hosts N [--dead HOST]... [--relayed] [OPTION OF ptrain-probe matrix]...

Prints one JSON object: what ptrain-probe matrix says of h1 to hN, as .links, how long it took, as
.seconds, and its exit code, as .code.

  --hosts N    how many serve
  --dead HOST  this one's process is killed before the matrix is asked for, and is asked for all the
               same; may be given again
  --relayed    no host can be dialled: everything goes through the relay

Example:
  ./recipes/lab/lab.sh --hosts 4 --nat open --rate 8mbit --delay 5 -- tests/net/probe_matrix_scenario.sh --hosts 4
TEXT
}

HOSTS=0 DEAD=() RELAYED='' OPTIONS=()

parse_options() {
  while (($#)); do
    case $1 in
      --hosts) need_value "$@"; need_count "$1" "$2" 2 64; HOSTS=$2; shift ;;
      --dead) need_value "$@"; DEAD+=("$2"); shift ;;
      --relayed) RELAYED=yes ;;
      -h | --help) usage; exit 0 ;;
      *) OPTIONS+=("$1") ;;
    esac
    shift
  done
  ((HOSTS > 0)) || die_usage "--hosts N is needed"
}

await_line() {  # await_line FILE PROCESS WHAT
  until [[ -s $1 ]]; do
    kill -0 "$2" 2>/dev/null || die "$EXIT_UNAVAILABLE" "no $3: $(<"$1.err")"
    sleep 0.05
  done
}

main() {
  parse_options "$@"
  make_temp_folder
  local probe relay host begin_s end_s code=0 listen
  local -A servers=()
  local -a names=()
  probe=$(find_program ptrain-probe)
  relay=$(find_program ptrain-relay)
  on p1 "$relay" serve --state "$TEMP_FOLDER/relay-state" --listen "tcp://0.0.0.0:$CONTROL_PORT" \
    --data "$DATA_PORT" --public-host "$(address p1)" >"$TEMP_FOLDER/relay" 2>"$TEMP_FOLDER/relay.err" &
  await_line "$TEMP_FOLDER/relay" $! relay
  "$relay" ticket new --run probes --relay "$(head -n 1 "$TEMP_FOLDER/relay")" --out "$TEMP_FOLDER/ticket" >"$TEMP_FOLDER/ticket.txt"
  for ((i = 1; i <= HOSTS; i++)); do
    host=h$i
    names+=("$host")
    listen=(--listen "tcp://0.0.0.0:$PORT")
    if [[ $RELAYED ]]; then listen=(); fi
    on "$host" "$probe" serve --ticket "$TEMP_FOLDER/ticket" --name "$host" --key "$TEMP_FOLDER/$host.key" \
      "${listen[@]}" >"$TEMP_FOLDER/$host" 2>"$TEMP_FOLDER/$host.err" &
    servers[$host]=$!
  done
  for host in "${names[@]}"; do await_line "$TEMP_FOLDER/$host" "${servers[$host]}" "server on $host"; done
  for host in "${DEAD[@]}"; do kill -KILL "${servers[$host]}"; done
  begin_s=$EPOCHREALTIME
  on p1 "$probe" matrix "${names[@]}" --ticket "$TEMP_FOLDER/ticket" --key "$TEMP_FOLDER/asker.key" --json \
    "${OPTIONS[@]}" >"$TEMP_FOLDER/links" || code=$?
  end_s=$EPOCHREALTIME
  [[ -s $TEMP_FOLDER/links ]] || die "$code" "no matrix"
  jq -c --argjson code "$code" --arg began "$begin_s" --arg ended "$end_s" \
    '{seconds: (($ended | tonumber) - ($began | tonumber)), code: $code, links: .}' "$TEMP_FOLDER/links"
}

main "$@"
