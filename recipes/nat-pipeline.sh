#!/usr/bin/env bash
# Stages behind home routers that begin through a relay and move to direct paths while they train, on
# one machine.
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly MOST_STAGES=16 CONTROL_PORT=7100 DATA_PORT=7101
readonly READY_TIMEOUT_S=120

usage() {
  cat <<'TEXT'
usage: nat-pipeline.sh --job FILE --stages N --out FOLDER [--nat [HOST=]KIND]... [--set KEY=VALUE]...

Trains the job in FILE in a laboratory of network namespaces (recipes/lab/lab.sh): each stage on
a host of its own behind a router of its own, and one ptrain-relay on a public host, by which
they meet. Says on standard error, and in FOLDER/paths.txt, how the stages reach each other, whenever
that changes: through the relay at first, then directly, through both routers. Leaves in FOLDER
what pipeline.sh leaves there, and relay.log. Needs root, or the right to make user namespaces.

  --job FILE         the job, see ptrain-job(5)
  --stages N         how many stages, 2 to 16
  --out FOLDER       made where it does not exist; a run in it goes on
  --nat [HOST=]KIND  what the routers do, see lab.sh; may be given again, default port-restricted
  --delay MS         of every link, see lab.sh
  --rate RATE        of every host's link, both ways, as tc(8) writes it: 100mbit
  --set KEY=VALUE    another value for one key of the job; may be given again
  --threads N        of each stage
  --json             print the final record on stdout
  -q, --quiet        say nothing but errors

Example:
  ./recipes/nat-pipeline.sh --job recipes/jobs/quickstart.toml --stages 3 --out out/nat
TEXT
}

JOB='' STAGES='' OUT='' INSIDE=''
LABORATORY=()  # to lab.sh
PASSED_ON=()   # to pipeline.sh

parse_options() {
  while (($#)); do
    case $1 in
      --job) need_value "$@"; JOB=$2; shift ;;
      --stages) need_value "$@"; need_count "$1" "$2" 2 "$MOST_STAGES"; STAGES=$2; shift ;;
      --out) need_value "$@"; OUT=$2; shift ;;
      --nat | --delay | --rate) need_value "$@"; LABORATORY+=("$1" "$2"); shift ;;
      --set | --threads) need_value "$@"; PASSED_ON+=("$1" "$2"); shift ;;
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

# In a session of its own: a signal to our process group must not take the relay from stages that have
# yet to save.
start_relay() {
  local deadline=$((SECONDS + READY_TIMEOUT_S))
  setsid on p1 "$PROGRAM" serve --state "$OUT/relay" --listen "tcp://0.0.0.0:$CONTROL_PORT" \
    --data "$DATA_PORT" --public-host "$(address p1)" >"$TEMP_FOLDER/word" 2>>"$OUT/relay.log" &
  local relay=$!
  disown "$relay"  # bash shall not report how it ended
  until [[ -s $TEMP_FOLDER/word ]]; do
    if ! kill -0 "$relay" 2>/dev/null || ((SECONDS >= deadline)); then
      tail -n 5 "$OUT/relay.log" >&2
      die "$EXIT_UNAVAILABLE" "the relay did not start" "see $OUT/relay.log"
    fi
    sleep 0.05
  done
}

# What each member has told the relay of its paths, whenever that is something else. A member says it
# with each renewal, three times a lease.
watch_paths() {
  local before='' now
  while sleep 1; do
    now=$(on p1 "$PROGRAM" peers --state "$OUT/relay" --json 2>/dev/null |
      jq -r 'select(.note // "" != "") | "\(.role): \(.note)"' 2>/dev/null | sort) || continue
    if [[ -z $now || $now == "$before" ]]; then continue; fi
    before=$now
    printf '%s\n%s\n' "--- $SECONDS s" "$now" >>"$OUT/paths.txt"
    if ((${#QUIET[@]} == 0)); then printf '%s\n' "$now" >&2; fi
  done
}

main() {
  local -a arguments=("$@")
  parse_options "$@"
  PROGRAM=$(find_program ptrain-relay)
  find_program ptrain-stage >/dev/null
  mkdir -p "$OUT" || die "$EXIT_IO" "folder $OUT cannot be made"
  OUT=$(cd "$OUT" && pwd)
  if [[ -z $INSIDE ]]; then
    exec "$RECIPES/lab/lab.sh" --hosts "$STAGES" --public 1 "${LABORATORY[@]}" -- \
      "$RECIPES/nat-pipeline.sh" --inside "${arguments[@]}"
  fi

  make_temp_folder
  start_relay
  "$PROGRAM" ticket new --run "$(basename "$OUT" | tr -c 'A-Za-z0-9\n' -)" \
    --relay "$(head -n 1 "$TEMP_FOLDER/word")" --out "$TEMP_FOLDER/ticket" >"$TEMP_FOLDER/ticket.txt"
  watch_paths &
  on_exit "kill $! 2>/dev/null || true"
  child "$RECIPES/pipeline.sh" --job "$JOB" --stages "$STAGES" --out "$OUT" \
    --ticket "$TEMP_FOLDER/ticket" --on h "${PASSED_ON[@]}"
}

main "$@"
