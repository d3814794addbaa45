#!/usr/bin/env bash
# What people behind home routers do, on one machine: relays on public hosts, stages on hosts
# that nobody can dial, and a ticket that lets them meet.
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly MOST_STAGES=16 MOST_RELAYS=4
readonly CONTROL_PORT=7100 DATA_PORT=7101
readonly READY_TIMEOUT_S=120

usage() {
  cat <<'TEXT'
usage: relay-pipeline.sh --job FILE --stages N --out FOLDER [--relays N] [--set KEY=VALUE]...

Trains the job in FILE in a laboratory of network namespaces (recipes/lab/lab.sh): each stage
on a host of its own behind a router of its own that lets nothing in, and ptrain-relay on a
public host. Leaves in FOLDER what pipeline.sh leaves there, and relay-I.log. Needs root, or the
right to make user namespaces.

  --job FILE         the job, see ptrain-job(5)
  --stages N         how many stages, 1 to 16
  --out FOLDER       made where it does not exist; a run in it goes on
  --relays N         how many relays, default 1
  --rate RATE        of every host's link, both ways, as tc(8) writes it: 100mbit
  --apart            the relays are neighbours, and each stage's ticket names one of them, in turn
  --kill-relay S     kill a relay every S seconds and start it anew two seconds later, in turn
  --connections N    TCP connections for tensors between two stages, default 1
  --set KEY=VALUE    another value for one key of the job; may be given again
  --threads N        of each stage
  --json             print the final record on stdout
  -q, --quiet        say nothing but errors

Example:
  ./recipes/relay-pipeline.sh --job recipes/jobs/quickstart.toml --stages 3 --out out/relay
TEXT
}

JOB='' STAGES='' OUT='' RELAYS=1 RATE='' KILL_EVERY=0 APART='' INSIDE=''
PASSED_ON=()  # to pipeline.sh

parse_options() {
  while (($#)); do
    case $1 in
      --job) need_value "$@"; JOB=$2; shift ;;
      --stages) need_value "$@"; need_count "$1" "$2" 1 "$MOST_STAGES"; STAGES=$2; shift ;;
      --out) need_value "$@"; OUT=$2; shift ;;
      --relays) need_value "$@"; need_count "$1" "$2" 1 "$MOST_RELAYS"; RELAYS=$2; shift ;;
      --rate) need_value "$@"; RATE=$2; shift ;;
      --apart) APART=yes ;;
      --kill-relay) need_value "$@"; need_count "$1" "$2" 1 86400; KILL_EVERY=$2; shift ;;
      --set | --threads | --connections) need_value "$@"; PASSED_ON+=("$1" "$2"); shift ;;
      --json) PASSED_ON+=("$1") ;;
      --inside) INSIDE=yes ;;  # it calls itself in the laboratory
      -q | --quiet) QUIET=(--quiet); PASSED_ON+=("$1") ;;
      -h | --help) usage; exit 0 ;;
      *) die_usage "unknown argument: $1" ;;
    esac
    shift
  done
  [[ $JOB && $STAGES && $OUT ]] || die_usage "--job, --stages and --out are needed"
}

# start_relay NUMBER: on host p<NUMBER>; its process in RELAY[NUMBER]. In a session of its own: a
# signal to our process group must not take the relays from stages that have yet to save.
RELAY=()
start_relay() {
  setsid on "p$1" "$PROGRAM" serve --state "$OUT/relay-$1" --listen "tcp://0.0.0.0:$CONTROL_PORT" \
    --data "$DATA_PORT" --public-host "$(address "p$1")" --neighbour-file "$TEMP_FOLDER/neighbours" \
    >"$TEMP_FOLDER/relay-$1" 2>>"$OUT/relay-$1.log" &
  RELAY[$1]=$!
  disown "$!"  # bash shall not report how it ended
}

# One file for all of them, before the first has run.
write_neighbours() {
  local i key
  : >"$TEMP_FOLDER/neighbours"
  [[ $APART ]] || return 0
  for ((i = 1; i <= RELAYS; i++)); do
    key=$("$PROGRAM" identity --state "$OUT/relay-$i")
    echo "tcp://$(address "p$i"):$CONTROL_PORT#$key,data=$DATA_PORT"
  done >>"$TEMP_FOLDER/neighbours"
}

# The ticket, or one for each relay: a ticket's relays are lines of it.
write_tickets() {  # write_tickets WORD...: sets TICKETS
  local i word
  local -a words=()
  for word in "$@"; do words+=(--relay "$word"); done
  "$PROGRAM" ticket new --run "$(basename "$OUT" | tr -c 'A-Za-z0-9\n' -)" "${words[@]}" \
    --out "$TEMP_FOLDER/ticket" >"$TEMP_FOLDER/ticket.txt"
  TICKETS=(--ticket "$TEMP_FOLDER/ticket")
  [[ $APART ]] || return 0
  TICKETS=()
  for ((i = 1; i <= $#; i++)); do
    (umask 077 && awk -v wanted="$i" '!/^relay / || ++number == wanted' "$TEMP_FOLDER/ticket" \
      >"$TEMP_FOLDER/ticket-$i")
    TICKETS+=(--ticket "$TEMP_FOLDER/ticket-$i")
  done
}

await_relay() {  # await_relay NUMBER: sets WORD to what it prints for tickets
  local deadline=$((SECONDS + READY_TIMEOUT_S))
  until [[ -s $TEMP_FOLDER/relay-$1 ]]; do
    if ! kill -0 "${RELAY[$1]}" 2>/dev/null || ((SECONDS >= deadline)); then
      tail -n 5 "$OUT/relay-$1.log" >&2
      die "$EXIT_UNAVAILABLE" "relay $1 did not start" "see $OUT/relay-$1.log"
    fi
    sleep 0.05
  done
  WORD=$(head -n 1 "$TEMP_FOLDER/relay-$1")
}

# Relays die without a word and come back, one after the other. The seconds until the next death
# count from when one is back, however slow the machine: members need them to come back, too.
torment_relays() {
  local number=1
  while sleep "$KILL_EVERY"; do
    kill -KILL "${RELAY[number]}" 2>/dev/null || true
    sleep 2
    : >"$TEMP_FOLDER/relay-$number"
    start_relay "$number"
    until [[ -s $TEMP_FOLDER/relay-$number ]] || ! kill -0 "${RELAY[number]}" 2>/dev/null; do
      sleep 0.05
    done
    number=$((number % RELAYS + 1))
  done
}

main() {
  local -a arguments=("$@") words=()
  parse_options "$@"
  PROGRAM=$(find_program ptrain-relay)
  find_program ptrain-stage >/dev/null
  mkdir -p "$OUT" || die "$EXIT_IO" "folder $OUT cannot be made"
  OUT=$(cd "$OUT" && pwd)
  if [[ -z $INSIDE ]]; then
    exec "$RECIPES/lab/lab.sh" --hosts "$STAGES" --public "$RELAYS" ${RATE:+--rate "$RATE"} -- \
      "$RECIPES/relay-pipeline.sh" --inside "${arguments[@]}"
  fi

  make_temp_folder
  local i
  write_neighbours
  for ((i = 1; i <= RELAYS; i++)); do start_relay "$i"; done
  for ((i = 1; i <= RELAYS; i++)); do
    await_relay "$i"
    words+=("$WORD")
  done
  write_tickets "${words[@]}"

  if ((KILL_EVERY > 0)); then
    torment_relays &
    on_exit "kill $! 2>/dev/null || true"  # it writes into the temporary folder
  fi
  child "$RECIPES/pipeline.sh" --job "$JOB" --stages "$STAGES" --out "$OUT" \
    "${TICKETS[@]}" --on h "${PASSED_ON[@]}"
}

main "$@"
