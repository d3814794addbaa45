#!/usr/bin/env bash
# One job over many hosts, a process for each of its cells, started, watched and ended over ssh.
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=job_keeper.bash
. "$(dirname "${BASH_SOURCE[0]}")/job_keeper.bash"
# shellcheck source=fleet.bash
. "$(dirname "${BASH_SOURCE[0]}")/fleet.bash"

readonly PULSE_S=5     # between words to each host that we are there
readonly KILL_S=3      # for a host to end a process at once, before we give up its connection
readonly DRAIN_S=10    # for words of processes that have ended

usage() {
  cat <<'TEXT'
usage: ssh.sh --hosts FILE --job FILE --out FOLDER [--plan FILE | [--stages S] [--lanes L]] [--ticket FILE]
              [--ship-data] [--bin FOLDER] [--set KEY=VALUE]... [--threads N] [--json] [--quiet]

Trains the job in FILE on the hosts of another FILE, of which each line is one:

  [USER@]HOST [STAGE,LANE]... ADDRESS:PORT [listen=ADDRESS:PORT] [bin=FOLDER] [device=DEVICE] [name=NAME]

what ssh calls it, the cells that one process there holds, where the others reach that process,
and where it listens if that is elsewhere. If no line names cells, they are dealt to the hosts in
turn, a process for each, with the next port for the next process of a host.

Makes a key for each process on its host, and the file of endpoints of the keys; brings the job
there; starts ptrain-stage everywhere; follows what it says, a line behind the process that said
it; and leaves in FOLDER what grid.sh leaves there, the newest checkpoint included. Again with the
same FOLDER it goes on.

  --hosts FILE     who takes part
  --job FILE       the job, see ptrain-job(5)
  --plan FILE      of ptrain-probe plan --json: what it changes of the job, and who holds which cells.
                   A host is called there as in name=, else as here, in small letters, with - for
                   all that is no letter or digit
  --stages S       how many stages, where FILE has no cells (default 1)
  --lanes L        how many lanes, where FILE has no cells (default 1)
  --out FOLDER     here; made where it does not exist
  --ticket FILE    the processes meet through this ticket's relays; then ADDRESS:PORT may be left out
  --ship-data      brings the token shards, and the tokenizer, to the hosts whose stages read them;
                   without it they lie there already, at the paths in the job, seen from the home
  --remote FOLDER  of the run on each host (default ptrain/NAME-DIGEST, in the home)
  --bin FOLDER     of the programs on the hosts (default: they are on PATH there)
  --ssh COMMAND    with options that ssh needs: 'ssh -p 2222 -i key'
  --silence S      a host that hears nothing from here for so long ends its process (default 60)
  --no-fetch       leaves checkpoints on the hosts
  --set KEY=VALUE  another value for one key of the job; may be given again
  --resume WHAT    auto (the default), none, or the id of a checkpoint
  --threads N      of each process (default: the host's cores divided among its processes)
  --connections N  TCP connections for tensors between two processes (default 1)
  --json           print the final record on stdout
  -q, --quiet      say nothing but errors, and follow nothing

Ends with the code of the process that failed first, 69 where a host cannot be reached or its
connection broke; with 130, 143 or 129 after SIGINT, SIGTERM or SIGHUP. The processes end their
step then and write what must be written, also when the connection is gone. Only Ctrl-C, pressed
again a second later, leaves now.

Example:
  printf '%s\n' 'one 10.0.0.2:7000' 'two 10.0.0.3:7000' >hosts
  ./recipes/ssh.sh --hosts hosts --job job.toml --stages 2 --ship-data --out out/two-hosts
TEXT
}

exec {WORDS_FOR_PEOPLE}>&2
HOSTS='' REMOTE='' BIN='' SILENCE=60 SHIP_DATA=no FETCH=yes
SSH=(ssh)
SSH_OPTIONS=(-T -x -o BatchMode=yes -o ConnectTimeout=15 -o ServerAliveInterval=15 -o ServerAliveCountMax=4)

parse_options() {
  STAGES='' LANES=''
  while (($#)); do
    TAKEN=2
    case $1 in
      --hosts) need_value "$@"; HOSTS=$2 ;;
      --plan) need_value "$@"; PLAN=$2 ;;
      --stages) need_value "$@"; need_count "$1" "$2" 1 "$MOST_WORKERS"; STAGES=$2 ;;
      --lanes) need_value "$@"; need_count "$1" "$2" 1 "$MOST_WORKERS"; LANES=$2 ;;
      --remote) need_value "$@"; REMOTE=$2 ;;
      --bin) need_value "$@"; BIN=$2 ;;
      --ssh) need_value "$@"; read -ra SSH <<<"$2" ;;
      --silence) need_value "$@"; need_count "$1" "$2" $((2 * PULSE_S)) 86400; SILENCE=$2 ;;
      --ship-data) SHIP_DATA=yes TAKEN=1 ;;
      --no-fetch) FETCH=no TAKEN=1 ;;
      --device | --on) die_usage "unknown argument: $1" ;;  # a host's line has its device
      *) parse_option "$@" ;;
    esac
    shift "$TAKEN"
  done
  if [[ -z $HOSTS || -z $JOB || -z $OUT ]]; then die_usage "--hosts, --job and --out are needed"; fi
  if [[ ! -r $JOB ]]; then die "$EXIT_IO" "job file $JOB cannot be read"; fi
  if ((${#TICKETS[@]} > 1)); then die_usage "--ticket: one for all"; fi
  if ((${#TICKETS[@]} == 1)) && [[ ! -r ${TICKETS[0]} ]]; then die "$EXIT_IO" "ticket ${TICKETS[0]} cannot be read"; fi
}

# --- what job_keeper.bash asks of whoever keeps processes elsewhere ---

WORDS=()       # of each process: where to write the words that its host reads
KILLED_AT=''   # when we told the hosts to end all at once

start_stage() {
  local i=$1 words
  local -a arguments=(run --job "$REMOTE/job.toml" --resume "$RESUME" --json --progress never
    --set "checkpoint.dir=$REMOTE/ckpt")
  # Its lines are in the job already: with it the first stage says at the end what came of the plan.
  if [[ -n $PLAN ]]; then arguments+=(--plan "$REMOTE/plan.json"); fi
  local cell
  for cell in ${CELLS[i]}; do arguments+=(--cell "$cell"); done
  if ((${#TICKETS[@]} > 0)); then
    arguments+=(--ticket "$REMOTE/ticket" --cells "$REMOTE/cells")
  elif ((WORKERS > 1)); then
    arguments+=(--endpoints "$REMOTE/endpoints")
  fi
  if [[ -n ${LISTENS[i]} ]]; then arguments+=(--listen "tcp://${LISTENS[i]}"); fi
  if ((${#TICKETS[@]} > 0)) && [[ -n ${ADDRESSES[i]} ]]; then arguments+=(--announce "tcp://${ADDRESSES[i]}"); fi
  if [[ -n ${HOST_DEVICES[i]} ]]; then arguments+=(--device "${HOST_DEVICES[i]}"); fi
  if [[ -n $THREADS ]]; then arguments+=(--threads "$THREADS"); fi
  if [[ -n $CONNECTIONS ]]; then arguments+=(--connections "$CONNECTIONS"); fi

  mkfifo "$TEMP_FOLDER/$i.words" "$TEMP_FOLDER/$i.data" "$TEMP_FOLDER/$i.said"
  exec {words}<>"$TEMP_FOLDER/$i.words"
  WORDS[i]=$words
  : >"$TEMP_FOLDER/$i.out"
  host_script keep "$REMOTE" "$(file_of "$i")" "$SILENCE" "$(processes_on "${NAMES[i]}")" "${BINS[i]}" \
    "${arguments[@]}" >&"${WORDS[i]}"
  follow_data "$i" <"$TEMP_FOLDER/$i.data" &
  FOLLOWERS+=($!)
  follow_words "$i" <"$TEMP_FOLDER/$i.said" &
  FOLLOWERS+=($!)
  # In a session of its own: what Ctrl-C and others send to our process group is for us to pass on.
  setsid setpriv --pdeathsig TERM "${SSH[@]}" "${SSH_OPTIONS[@]}" -- "${NAMES[i]}" bash -s \
    <"$TEMP_FOLDER/$i.words" >"$TEMP_FOLDER/$i.data" 2>"$TEMP_FOLDER/$i.said" &
  PIDS[i]=$! CODES[i]='' RUNNING=$((RUNNING + 1))
}

# What a host sends: lines of its process's standard output, and of its metrics.
follow_data() {
  local line metrics='' i=$1
  trap '' INT TERM HUP
  while IFS= read -r line; do
    if [[ $line == 'o '* ]]; then
      printf '%s\n' "${line#o }" >>"$TEMP_FOLDER/$i.out"
    elif [[ $line == 'm '* ]]; then
      if [[ -z $metrics ]]; then
        metrics=$OUT/$(metrics_of "$i")
        : >"$metrics"
      fi
      printf '%s\n' "${line#m }" >>"$metrics"
    fi
  done
}

follow_words() {
  local line log who i=$1
  trap '' INT TERM HUP
  log=$OUT/$(file_of "$i").log who=$(name_of "$i")
  : >"$log"
  while IFS= read -r line; do
    printf '%s\n' "$line" >>"$log"
    if ((${#QUIET[@]} == 0)); then printf '%s: %s\n' "$who" "$line" >&2 2>/dev/null || true; fi
  done
}

# Hosts are told that we are there by a process of its own: so it goes on while we are stopped (Ctrl-Z).
# Its last pause may outlive us, and holds no lock: the same command may begin at once.
start_pulse() {
  local i
  local -a pairs=()
  for ((i = 0; i < WORKERS; i++)); do pairs+=("${PIDS[i]}" "$TEMP_FOLDER/$i.words"); done
  # shellcheck disable=SC2016  # bash -c's own
  setsid setpriv --pdeathsig TERM bash -c 'pause=$1; shift
    while sleep "$pause"; do
      for ((i = 1; i < $#; i += 2)); do
        j=$((i + 1))
        if kill -0 "${!i}" 2>/dev/null; then echo here 1<>"${!j}"; fi
      done
    done' pulse "$PULSE_S" "${pairs[@]}" 2>/dev/null {LOCK}>&- &
  on_exit "kill $! 2>/dev/null || true"
}

tell_host() { printf '%s\n' "$2" >&"${WORDS[$1]}" || true; }  # tell_host WORKER WORD

signal_stages() {
  local i
  if [[ $1 == KILL && -z $KILLED_AT ]]; then
    KILLED_AT=$SECONDS
  elif [[ $1 == KILL ]]; then  # it was told
    if ((SECONDS - KILLED_AT < KILL_S)); then return 0; fi
    for ((i = 0; i < WORKERS; i++)); do
      if [[ -n ${PIDS[i]} ]]; then kill -KILL "${PIDS[i]}" 2>/dev/null || true; fi
    done
    return 0
  fi
  for ((i = 0; i < WORKERS; i++)); do
    if [[ -z ${PIDS[i]} ]]; then continue; fi
    if [[ $1 == KILL ]]; then tell_host "$i" kill; else tell_host "$i" stop; fi
  done
}

leave_now() {
  FETCH=left
  while ((RUNNING > 0)); do
    signal_stages KILL
    pause 0.1
    reap
  done
  exit 130
}

worker_ended() {
  if ((CODES[$1] == LOST)); then
    CODES[$1]=$EXIT_UNAVAILABLE
    if [[ -z $CAUSE ]]; then CAUSE=$1; fi
  fi
}

explain_kill() {
  insist_on "SIGKILL came from somebody on ${NAMES[$1]}, or from its kernel for want of memory (dmesg says there)"
}

watch_memory() { :; }  # it is the hosts'

end_stages() {
  if ((RUNNING > 0)); then
    signal_stages TERM
    wait_until_stopped
  fi
  drain
}

# Returns when all that processes said has arrived here.
drain() {
  local pid deadline=$((SECONDS + DRAIN_S))
  for pid in "${FOLLOWERS[@]}"; do
    until has_ended "$pid" || ((SECONDS >= deadline)); do pause 0.1; done
  done
}

main() {
  parse_options "$@"
  need_tool jq jq
  need_tool "${SSH[0]}" openssh-client
  STAGE=$(find_program ptrain-stage)
  make_temp_folder
  if [[ -n $PLAN ]]; then read_plan "$PLAN"; fi
  read_hosts "$HOSTS"
  claim_folder
  prepare_job
  prepare_hosts

  on_exit bring_home  # after the line below has ended all
  on_exit end_stages
  keep_told stop leave_now
  for ((i = 0; i < WORKERS; i++)); do start_stage "$i"; done
  start_pulse
  wait_until_ready
  if [[ -z $FAILED ]]; then wait_until_ended; fi

  if [[ -n $STOPPED_BY ]]; then
    wait_until_stopped
    drain
    bring_home
    end_stopped
  fi
  if [[ -n $FAILED ]]; then fail; fi
  drain
  bring_home
  leave_result
  if [[ $JSON == yes ]]; then print_file "$OUT/result.json"; fi
}

main "$@"
