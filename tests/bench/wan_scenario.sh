#!/usr/bin/env bash
# One job of tests/bench/wan.sh: a stage a host, and a relay where they need one.
# shellcheck source=../../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../recipes/lib.sh"

readonly STAGE=${PTRAIN_BIN:-$ROOT/build/release/bin}/../tests/bench_stage_slept
readonly CONTROL_PORT=7100 DATA_PORT=7101 STAGE_PORT=7200 READY_TIMEOUT_S=30

usage() {
  cat <<'TEXT'
usage: wan_scenario.sh --route direct|relayed --stages N -- STAGE-OPTION...

Inside the laboratory (recipes/lab/lab.sh): direct, with --public N; relayed, with --hosts N
--public 1. Prints what stage 0 prints.

Example:
  ./recipes/lab/lab.sh --hosts 0 --public 2 -- ./tests/bench/wan_scenario.sh --route direct \
    --stages 2 -- --of 2 --steps 5
TEXT
}

ROUTE='' STAGES=2 OPTIONS=()

parse_options() {
  while (($#)); do
    case $1 in
      --route) need_value "$@"; ROUTE=$2; shift ;;
      --stages) need_value "$@"; need_count "$1" "$2" 1 16; STAGES=$2; shift ;;
      -h | --help) usage; exit 0 ;;
      --) shift; OPTIONS=("$@"); break ;;
      *) die_usage "unknown argument: $1" ;;
    esac
    shift
  done
  [[ $ROUTE == direct || $ROUTE == relayed ]] || die_usage "--route $ROUTE: expected direct or relayed"
}

host_of() {  # host_of STAGE
  if [[ $ROUTE == direct ]]; then echo "p$(($1 + 1))"; else echo "h$(($1 + 1))"; fi
}

name_endpoints() {
  local i program
  program=$(find_program ptrain-stage)
  for ((i = 0; i < STAGES; i++)); do
    echo "tcp://$(address "$(host_of "$i")"):$STAGE_PORT#$("$program" identity --key "key-$i")"
  done >endpoints
}

start_relay() {
  local program deadline=$((SECONDS + READY_TIMEOUT_S))
  program=$(find_program ptrain-relay)
  on p1 "$program" serve --state relay-state --listen "tcp://0.0.0.0:$CONTROL_PORT" \
    --data "$DATA_PORT" --public-host "$(address p1)" >relay 2>relay.log &
  until [[ -s relay ]]; do
    ((SECONDS < deadline)) || die "$EXIT_UNAVAILABLE" "the relay did not start: $(<relay.log)"
    sleep 0.05
  done
  "$program" ticket new --run wan --relay "$(head -n 1 relay)" --out ticket >/dev/null
}

main() {
  parse_options "$@"
  make_temp_folder
  cd "$TEMP_FOLDER"
  local i ways=(--endpoints endpoints) stages=()
  if [[ $ROUTE == direct ]]; then
    name_endpoints
  else
    start_relay
    ways=(--ticket ticket --relay-only)
  fi
  for ((i = 0; i < STAGES; i++)); do
    mkdir "stage-$i"
    on "$(host_of "$i")" "$STAGE" --stage "$i" "${ways[@]}" --key "key-$i" --folder "stage-$i" \
      "${OPTIONS[@]}" >"stage-$i/out" 2>"stage-$i/log" &
    stages+=("$!")
  done
  for ((i = 0; i < STAGES; i++)); do
    wait "${stages[i]}" || { cat stage-*/log >&2; die "$EXIT_UNAVAILABLE" "stage $i has failed"; }
  done
  cat stage-0/out
}

main "$@"
