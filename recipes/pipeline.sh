#!/usr/bin/env bash
# One pipeline on this machine: N stages, a process each, started, watched and ended together.
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly MOST_STAGES=64       # of one machine: more is a mistake in the command
readonly READY_TIMEOUT_S=120  # libtorch takes a second to load, a busy machine some more
readonly STOP_TIMEOUT_S=15    # a stage leaves within ten seconds of SIGTERM
readonly SETTLE_S=1           # stages that fail within this time of each other share one cause

usage() {
  cat <<'TEXT'
usage: pipeline.sh --job FILE --stages N --out FOLDER [--set KEY=VALUE]... [--threads N] [--json]

Trains the job in FILE on this machine, cut into N stages, one ptrain-stage
process each, joined by Unix sockets. Leaves in FOLDER:

  metrics.jsonl          stage 0's metrics, a JSON object a line
  stage-I.metrics.jsonl  those of the other stages
  stage-I.log            what stage I said
  ckpt/                  checkpoints
  result.json            the final record

A FOLDER that holds a checkpoint of the same job continues that run.

  --job FILE       the job, see ptrain-job(5)
  --stages N       how many stages, 1 to 64
  --out FOLDER     made where it does not exist
  --set KEY=VALUE  another value for one key of the job; may be given again
  --resume WHAT    auto (the default), none, or the id of a checkpoint
  --threads N      of each stage (default: the machine's cores divided among the stages)
  --ticket FILE    the stages meet through the relays of this ticket instead; given again, stage 0
                   takes the first, stage 1 the second, and so on, in turn
  --connections N  TCP connections for tensors between two stages, with --ticket (default 1)
  --on PREFIX      stage I runs on host PREFIX(I+1) of the laboratory that this runs in
                   (recipes/lab/lab.sh), with a key of its own; with --ticket
  --json           print the final record on stdout

Ends with the code of the stage that failed first, 130 after SIGINT, 143 after SIGTERM.
A first signal lets the stages end their step and write what must be written; a
second one leaves now.

Example:
  ./recipes/pipeline.sh --job recipes/jobs/quickstart.toml --stages 2 --out out/two
TEXT
}

JOB='' STAGES='' OUT='' RESUME=auto THREADS='' CONNECTIONS='' HOST_PREFIX='' JSON=no
OVERRIDES=() TICKETS=()

parse_options() {
  while (($#)); do
    case $1 in
      --job) need_value "$@"; JOB=$2; shift ;;
      --stages) need_value "$@"; STAGES=$2; shift ;;
      --out) need_value "$@"; OUT=$2; shift ;;
      --set) need_value "$@"; OVERRIDES+=(--set "$2"); shift ;;
      --resume) need_value "$@"; RESUME=$2; shift ;;
      --threads) need_value "$@"; THREADS=$2; shift ;;
      --ticket) need_value "$@"; TICKETS+=("$2"); shift ;;
      --connections) need_value "$@"; need_count "$1" "$2" 1 8; CONNECTIONS=$2; shift ;;
      --on) need_value "$@"; HOST_PREFIX=$2; shift ;;
      --json) JSON=yes ;;
      -h | --help) usage; exit 0 ;;
      *) die_usage "unknown argument: $1" ;;
    esac
    shift
  done
  if [[ -z $JOB || -z $STAGES || -z $OUT ]]; then die_usage "--job, --stages and --out are needed"; fi
  need_count --stages "$STAGES" 1 "$MOST_STAGES"
  if [[ -z $THREADS ]]; then
    THREADS=$(($(cores) / STAGES))
    if ((THREADS < 1)); then THREADS=1; fi
  fi
  need_count --threads "$THREADS" 1 1024
  if [[ -n $HOST_PREFIX ]] && ((${#TICKETS[@]} == 0)); then die_usage "--on goes with --ticket"; fi
  if [[ -n $CONNECTIONS ]] && ((${#TICKETS[@]} == 0)); then die_usage "--connections goes with --ticket"; fi
  if [[ ! -r $JOB ]]; then die "$EXIT_IO" "job file $JOB cannot be read"; fi
}

# The lock lives as long as this recipe and its stages do: they inherit the descriptor.
claim_folder() {
  mkdir -p "$OUT/ckpt" || die "$EXIT_IO" "folder $OUT cannot be made"
  OUT=$(cd "$OUT" && pwd)
  if ! : >>"$OUT/.lock"; then die "$EXIT_IO" "$OUT/.lock cannot be written"; fi
  exec {LOCK}>"$OUT/.lock"
  flock -n "$LOCK" ||
    die "$EXIT_TRY_AGAIN" "$OUT is in use by another run" "wait for it to end, or choose another --out"
  rm -f "$OUT/result.json" "$OUT"/stage-*.log  # what an earlier run said explains nothing here
}

# --- the stages: PIDS[i] is empty once stage i has ended, and CODES[i] is how ---

PIDS=() CODES=() RUNNING=0
STOPPED_BY=''  # the signal that told us to stop
FAILED=''      # the stage that failed first

start_stages() {
  local i
  for ((i = 0; i < STAGES; i++)); do printf 'ipc://%s/%d\n' "$TEMP_FOLDER" "$i"; done >"$TEMP_FOLDER/endpoints"
  # A process group each, so that Ctrl-C reaches a stage once, from us. Should this recipe
  # be killed, the kernel tells the stages to end (pdeathsig).
  set -m
  for ((i = 0; i < STAGES; i++)); do start_stage "$i"; done
  set +m
}

start_stage() {
  local i=$1 metrics=$OUT/stage-$1.metrics.jsonl
  local -a command=("$STAGE" run --job "$JOB" --stage "$i" --resume "$RESUME" --threads "$THREADS" --json
    "${OVERRIDES[@]}" --set "checkpoint.dir=$OUT/ckpt")
  if ((${#TICKETS[@]} > 0)); then
    command+=(--ticket "${TICKETS[i % ${#TICKETS[@]}]}" --stages "$STAGES"
      --connections "${CONNECTIONS:-1}")
  elif ((STAGES > 1)); then
    command+=(--endpoints "$TEMP_FOLDER/endpoints")
  fi
  if [[ -n $HOST_PREFIX ]]; then
    command=(on "$HOST_PREFIX$((i + 1))" "${command[@]}" --key "$TEMP_FOLDER/$i.key")
  fi
  if ((i == 0)); then metrics=$OUT/metrics.jsonl; fi
  command+=(--metrics "$metrics")
  # On a terminal stage 0 draws its progress line there itself.
  if ((i == 0)) && [[ -t 2 ]]; then
    setpriv --pdeathsig TERM "${command[@]}" </dev/null >"$TEMP_FOLDER/$i.out" &
  else
    setpriv --pdeathsig TERM "${command[@]}" </dev/null >"$TEMP_FOLDER/$i.out" 2>"$OUT/stage-$i.log" &
  fi
  PIDS[i]=$! CODES[i]='' RUNNING=$((RUNNING + 1))
}

signal_stages() {  # signal_stages NAME: to those that still run
  local pid
  for pid in "${PIDS[@]}"; do
    if [[ -n $pid ]]; then kill -s "$1" "$pid" 2>/dev/null || true; fi
  done
}

on_signal() {
  local number=$1
  if [[ -n $STOPPED_BY ]]; then
    signal_stages KILL
    exit "$number"
  fi
  STOPPED_BY=$number
  say "stopping (again to leave now)"
  signal_stages TERM
}

# reap: notes the stages that have ended.
reap() {
  local i
  for ((i = 0; i < STAGES; i++)); do
    if [[ -n ${PIDS[i]} ]] && ! kill -0 "${PIDS[i]}" 2>/dev/null; then
      CODES[i]=0
      { wait "${PIDS[i]}" || CODES[i]=$?; } 2>/dev/null  # bash would report a signal, as we do
      PIDS[i]='' RUNNING=$((RUNNING - 1))
    fi
  done
}

# The stage that failed first, when several have: one that lost its neighbour (69), or was
# told that another one stops (75), is seldom the cause.
find_failed() {
  local i
  FAILED=''
  for ((i = 0; i < STAGES; i++)); do
    case ${CODES[i]} in
      '' | 0) ;;
      "$EXIT_UNAVAILABLE" | "$EXIT_TRY_AGAIN") if [[ -z $FAILED ]]; then FAILED=$i; fi ;;
      *) FAILED=$i; return ;;
    esac
  done
}

# A stage prints one line when its socket is bound. One stage alone has none.
wait_until_ready() {
  if ((STAGES == 1)); then return; fi
  local i deadline=$((SECONDS + READY_TIMEOUT_S))
  for ((i = 0; i < STAGES; i++)); do
    until [[ -s $TEMP_FOLDER/$i.out ]]; do
      sleep 0.1
      reap
      find_failed
      if [[ -n $FAILED || -n $STOPPED_BY ]]; then return; fi
      if ((SECONDS >= deadline)); then
        die "$EXIT_UNAVAILABLE" "stage $i did not bind its socket within $READY_TIMEOUT_S s" \
          "see $OUT/stage-$i.log"
      fi
    done
  done
}

# Returns when all stages have ended, one has failed, or a signal came.
wait_until_ended() {
  while ((RUNNING > 0)); do
    sleep 0.1
    reap
    find_failed
    if [[ -n $FAILED || -n $STOPPED_BY ]]; then return; fi
  done
}

# For stages that were told to stop already: a second SIGTERM would cut them short.
wait_until_stopped() {
  local deadline=$((SECONDS + STOP_TIMEOUT_S))
  while ((RUNNING > 0)); do
    if ((SECONDS >= deadline)); then signal_stages KILL; fi
    sleep 0.1
    reap
  done
}

explain_failure() {  # explain_failure STAGE
  local code=${CODES[$1]} log=$OUT/stage-$1.log how
  how="ended with code $code"
  if ((code > 128)); then how="was ended by SIG$(kill -l $((code - 128)))"; fi
  if [[ -s $log ]]; then
    error "stage $1 $how; it said:"
    tail -n 10 "$log" | sed 's/^/    /' >&2
  else
    error "stage $1 $how"
  fi
}

# Of stages that were told to stop: those that met an error of their own on the way out.
explain_bad_stops() {
  local i
  for ((i = 0; i < STAGES; i++)); do
    case ${CODES[i]} in
      0 | "$EXIT_UNAVAILABLE" | "$EXIT_TRY_AGAIN" | 130 | 143) ;;
      *) explain_failure "$i" ;;
    esac
  done
}

# Does not return: the others are stopped, and the stage that failed gives the exit code.
fail() {
  local cause code
  sleep "$SETTLE_S"
  reap
  find_failed
  cause=$FAILED code=${CODES[FAILED]}
  if [[ -z $STOPPED_BY ]]; then signal_stages TERM; fi
  wait_until_stopped
  explain_failure "$cause"
  exit "$code"
}

main() {
  parse_options "$@"
  need_tool jq jq
  STAGE=$(find_program ptrain-stage)
  claim_folder
  make_temp_folder

  trap 'on_signal 130' INT
  trap 'on_signal 143' TERM
  trap 'on_signal 129' HUP
  on_exit 'signal_stages KILL'
  start_stages
  wait_until_ready
  if [[ -z $FAILED ]]; then wait_until_ended; fi

  if [[ -n $STOPPED_BY ]]; then
    wait_until_stopped
    explain_bad_stops
    say "stopped; the same command continues the run"
    exit "$STOPPED_BY"
  fi
  if [[ -n $FAILED ]]; then fail; fi

  tail -n 1 "$TEMP_FOLDER/0.out" >"$OUT/result.json"
  if [[ $JSON == yes ]]; then cat "$OUT/result.json"; fi
}

main "$@"
