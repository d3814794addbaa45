# shellcheck shell=bash
# The processes of one job on this machine, a stage of a lane each: started, watched and ended
# together. pipeline.sh, grid.sh and data-parallel.sh source it, after lib.sh, and call keep_job.
# shellcheck disable=SC2034  # whoever sources this parses the options

readonly MOST_WORKERS=64      # of one machine: more is a mistake in the command
readonly READY_TIMEOUT_S=120  # libtorch takes a second to load, a busy machine some more
readonly STOP_TIMEOUT_S=15    # a stage leaves within ten seconds of SIGTERM
readonly SETTLE_S=3           # processes that fail within this time of each other share one cause

FORMER_RESULT=''  # of an earlier run in the folder
SHARE_OF_CORES=1  # of each process
JOB='' PLAN='' STAGES=1 LANES=1 OUT='' RESUME=auto THREADS='' CONNECTIONS='' HOST_PREFIX='' JSON=no
OVERRIDES=() TICKETS=() DEVICES=()
WORKERS=1  # processes: STAGES times LANES, those of a stage one after the other

# What --help says of the options of a job with lanes that its recipes share.
usage_of_lanes() {
  cat <<'TEXT'
  --set KEY=VALUE  another value for one key of the job; may be given again
  --resume WHAT    auto (the default), none, or the id of a checkpoint
  --threads N      of each process (default: the machine's cores divided among them, and no more than
                   a job of that size can use)
  --device DEVICE  cpu (the default) or cuda:N; given again, the first process computes on the first,
                   the second on the second, and so on, in turn
  --ticket FILE    the processes meet through the relays of this ticket instead; given again, they take
                   them in turn
  --connections N  TCP connections for tensors between two processes, with --ticket (default 1)
  --on PREFIX      number I runs on host PREFIX(I+1) of the laboratory that this runs in
                   (recipes/lab/lab.sh), with a key of its own; with --ticket
  --json           print the final record on stdout
  -q, --quiet      say nothing but errors: no progress line, no summary

Ends with the code of the process that failed first; with 130, 143 or 129 after SIGINT, SIGTERM
or SIGHUP. The processes end their step then and write what must be written. Only Ctrl-C, pressed
again a second later, leaves now.
TEXT
}

# parse_option ARGUMENT...: of those that all recipes have; sets TAKEN to how many arguments it was.
TAKEN=0
parse_option() {
  TAKEN=2
  case $1 in
    --job) need_value "$@"; JOB=$2 ;;
    --out) need_value "$@"; OUT=$2 ;;
    --set)
      need_value "$@"
      if [[ $2 =~ ^[[:blank:]]*checkpoint\.dir[[:blank:]]*= ]]; then
        die_usage "--set $2: checkpoints are kept in the ckpt of --out"
      fi
      OVERRIDES+=(--set "$2")
      ;;
    --resume) need_value "$@"; RESUME=$2 ;;
    --threads) need_value "$@"; need_count "$1" "$2" 1 1024; THREADS=$2 ;;
    --device) need_value "$@"; DEVICES+=("$2") ;;
    --ticket) need_value "$@"; TICKETS+=("$2") ;;
    --connections) need_value "$@"; need_count "$1" "$2" 1 8; CONNECTIONS=$2 ;;
    --on) need_value "$@"; HOST_PREFIX=$2 ;;
    --json) JSON=yes; TAKEN=1 ;;
    -q | --quiet) QUIET=(--quiet); TAKEN=1 ;;
    -h | --help) usage; exit 0 ;;
    *) die_usage "unknown argument: $1" ;;
  esac
}

# need_plan FILE: ends us where it is none
need_plan() {
  if [[ ! -r $1 ]]; then die "$EXIT_IO" "plan $1 cannot be read"; fi
  jq -es 'length == 1 and (.[0] | .kind == "plan" and .version == 1 and (.set | type) == "array" and (.view | length) > 0)' \
    "$1" >/dev/null 2>&1 ||
    die "$EXIT_CORRUPT" "$1 is no plan (ptrain-plan(5))" 'ptrain-probe plan --json writes one'
}

check_options() {
  WORKERS=$((STAGES * LANES))
  if ((WORKERS > MOST_WORKERS)); then
    die_usage "$STAGES stages in $LANES lanes are $WORKERS processes: at most $MOST_WORKERS on one machine"
  fi
  SHARE_OF_CORES=$(($(cores) / WORKERS))
  if ((SHARE_OF_CORES < 1)); then SHARE_OF_CORES=1; fi
  if [[ -n $HOST_PREFIX ]] && ((${#TICKETS[@]} == 0)); then die_usage "--on goes with --ticket"; fi
  if [[ -n $CONNECTIONS ]] && ((${#TICKETS[@]} == 0)); then die_usage "--connections goes with --ticket"; fi
  if [[ ! -r $JOB ]]; then die "$EXIT_IO" "job file $JOB cannot be read"; fi
  if ((LANES > 1)); then OVERRIDES+=(--set "lanes.count=$LANES"); fi
}

# cell_of WORKER: STAGE,LANE
cell_of() { printf '%d,%d' $(($1 / LANES)) $(($1 % LANES)); }

# name_of WORKER: for people; file_of WORKER: what its files begin with
name_of() {
  printf 'stage %d' $(($1 / LANES))
  if ((LANES > 1)); then printf ', lane %d' $(($1 % LANES)); fi
}
file_of() {
  printf 'stage-%d' $(($1 / LANES))
  if ((LANES > 1)); then printf -- '-lane-%d' $(($1 % LANES)); fi
}
metrics_of() { if (($1 == 0)); then printf metrics.jsonl; else printf '%s.metrics.jsonl' "$(file_of "$1")"; fi; }

# The lock lives as long as this recipe and its stages do: they inherit the descriptor.
claim_folder() {
  mkdir -p "$OUT/ckpt" || die "$EXIT_IO" "folder $OUT cannot be made"
  OUT=$(cd "$OUT" && pwd)
  if ! : >>"$OUT/.lock"; then die "$EXIT_IO" "$OUT/.lock cannot be written"; fi
  exec {LOCK}>>"$OUT/.lock"
  flock -n "$LOCK" ||
    die "$EXIT_TRY_AGAIN" "$OUT is in use by another run: $(head -c 200 "$OUT/.lock" | head -n 1)" \
      "wait for it to end, or choose another --out"
  printf 'process %d on %s\n' $$ "$HOSTNAME" >"$OUT/.lock" ||
    die "$EXIT_IO" "$OUT/.lock cannot be written"
  if [[ -f $OUT/result.json ]]; then FORMER_RESULT=$(<"$OUT/result.json"); fi
  rm -f "$OUT/result.json" "$OUT"/stage-*.log  # what an earlier run said explains nothing here
}

# --- the processes: PIDS[i] is empty once number i has ended, and CODES[i] is how ---

PIDS=() CODES=() RUNNING=0
USED_MB=()     # the most memory that number i was seen to hold
WATCHED_AT=''  # when that was, in seconds
OOM_KILLS=''   # how many processes the kernel had ended for want of memory when we began
FAILED=''      # the one that failed first
CAUSE=''       # the same, where it is known from elsewhere than the codes

start_stages() {
  local i
  for ((i = 0; i < WORKERS; i++)); do
    if ((LANES > 1)); then printf '%s ' "$(cell_of "$i")"; fi
    printf 'ipc://%s/%d\n' "$TEMP_FOLDER" "$i"
  done >"$TEMP_FOLDER/endpoints"
  for ((i = 0; i < WORKERS; i++)); do printf '%s\n' "$(cell_of "$i")"; done >"$TEMP_FOLDER/cells"
  # They are of our process group: Ctrl-Z and fg reach them, and Ctrl-C both from the terminal and
  # from us, which says no more than once. Should this recipe be killed, the kernel tells the
  # stages to end (pdeathsig).
  for ((i = 0; i < WORKERS; i++)); do start_stage "$i"; done
}

start_stage() {
  local i=$1 log
  local -a threads=() command=("$STAGE" run --job "$JOB")
  if ((LANES > 1)); then command+=(--cell "$(cell_of "$i")"); else command+=(--stage "$i"); fi
  if [[ -n $PLAN ]]; then command+=(--plan "$PLAN"); fi
  command+=(--resume "$RESUME")
  log=$OUT/$(file_of "$i").log
  if [[ -n $THREADS ]]; then
    command+=(--threads "$THREADS")
  else  # the stage knows what its job can use, and we how many share this machine
    threads=(env "OMP_NUM_THREADS=$SHARE_OF_CORES")
  fi
  command=("${threads[@]}" "${command[@]}" --json "${OVERRIDES[@]}" --set "checkpoint.dir=$OUT/ckpt")
  if ((${#TICKETS[@]} > 0)); then
    command+=(--ticket "${TICKETS[i % ${#TICKETS[@]}]}" --connections "${CONNECTIONS:-1}")
    if ((LANES > 1)); then command+=(--cells "$TEMP_FOLDER/cells"); else command+=(--stages "$STAGES"); fi
  elif ((WORKERS > 1)); then
    command+=(--endpoints "$TEMP_FOLDER/endpoints")
  fi
  if ((${#DEVICES[@]} > 0)); then command+=(--device "${DEVICES[i % ${#DEVICES[@]}]}"); fi
  if [[ -n $HOST_PREFIX ]]; then
    command=(on "$HOST_PREFIX$((i + 1))" "${command[@]}" --key "$TEMP_FOLDER/$i.key")
  fi
  command+=(--metrics "$OUT/$(metrics_of "$i")")
  # On a terminal stage 0 draws its progress line there itself.
  if ((i == 0 && ${#QUIET[@]} == 0)) && [[ -t 2 ]]; then
    "${LISTENING[@]}" setpriv --pdeathsig TERM "${command[@]}" </dev/null >"$TEMP_FOLDER/$i.out" &
  else
    "${LISTENING[@]}" setpriv --pdeathsig TERM "${command[@]}" </dev/null >"$TEMP_FOLDER/$i.out" \
      2>"$log" &
  fi
  PIDS[i]=$! CODES[i]='' RUNNING=$((RUNNING + 1))
}

signal_stages() {  # signal_stages NAME: to those that still run
  local pid
  for pid in "${PIDS[@]}"; do
    if [[ -n $pid ]]; then kill -s "$1" "$pid" 2>/dev/null || true; fi
  done
}

stop() {
  say "stopping (Ctrl-C again leaves now)"
  signal_stages TERM
}

leave_now() {
  signal_stages KILL
  wait_until_stopped
  exit 130
}

# has_ended PID: a child that nobody has waited for yet is a zombie. kill -0 tells them apart only
# where SIGCHLD is not blocked, and whoever starts us may have blocked it.
has_ended() {
  local state
  { read -r _ _ state _ <"/proc/$1/stat"; } 2>/dev/null || return 0
  [[ $state == [ZX] ]]
}

# reap: notes the stages that have ended.
reap() {
  local i
  for ((i = 0; i < WORKERS; i++)); do
    if [[ -n ${PIDS[i]} ]] && has_ended "${PIDS[i]}"; then
      CODES[i]=0
      { wait "${PIDS[i]}" || CODES[i]=$?; } 2>/dev/null  # bash would report a signal, as we do
      PIDS[i]='' RUNNING=$((RUNNING - 1))
      worker_ended "$i"
    fi
  done
}

# worker_ended WORKER: for a recipe that knows more of how it ended than its code
worker_ended() { :; }

# The stage that failed first, when several have: one that lost its neighbour (69), or was
# told that another one stops (75), is seldom the cause.
find_failed() {
  local i
  FAILED=$CAUSE
  if [[ -n $FAILED ]]; then return; fi
  for ((i = 0; i < WORKERS; i++)); do
    case ${CODES[i]} in
      '' | 0) ;;
      "$EXIT_UNAVAILABLE" | "$EXIT_TRY_AGAIN") if [[ -z $FAILED ]]; then FAILED=$i; fi ;;
      *) FAILED=$i; return ;;
    esac
  done
}

# A stage prints one line when its socket is bound. One stage alone has none.
wait_until_ready() {
  if ((WORKERS == 1)); then return; fi
  local i deadline=$((SECONDS + READY_TIMEOUT_S))
  for ((i = 0; i < WORKERS; i++)); do
    until [[ -s $TEMP_FOLDER/$i.out ]]; do
      pause 0.1
      reap
      find_failed
      if [[ -n $FAILED || -n $STOPPED_BY ]]; then return; fi
      if ((SECONDS >= deadline)); then
        die "$EXIT_UNAVAILABLE" "$(name_of "$i") did not bind its socket within $READY_TIMEOUT_S s" \
          "see $OUT/$(file_of "$i").log"
      fi
    done
  done
}

# Returns when all stages have ended, one has failed, or a signal came.
wait_until_ended() {
  while ((RUNNING > 0)); do
    pause 0.1
    watch_memory
    reap
    find_failed
    if [[ -n $FAILED || -n $STOPPED_BY ]]; then return; fi
  done
}

# For stages that were told to stop.
wait_until_stopped() {
  local deadline=$((SECONDS + STOP_TIMEOUT_S))
  while ((RUNNING > 0)); do
    if ((SECONDS >= deadline)); then signal_stages KILL; fi
    pause 0.1
    reap
  done
}

# The kernel ends a process that it has no memory for, and tells nobody.
watch_memory() {
  local i key value
  if [[ $SECONDS == "$WATCHED_AT" ]]; then return 0; fi
  WATCHED_AT=$SECONDS
  for ((i = 0; i < WORKERS; i++)); do
    if [[ -z ${PIDS[i]} ]]; then continue; fi
    while read -r key value _; do
      if [[ $key == VmHWM: ]]; then USED_MB[i]=$((value * 1024 / 1000000)); break; fi
    done 2>/dev/null <"/proc/${PIDS[i]}/status" || true
  done
}

oom_kills() { awk '$1 == "oom_kill" { print $2 }' /proc/vmstat; }

# memory_of WORKER: what it had used and what it had said that it needs
memory_of() {
  local metrics needed
  metrics=$OUT/$(metrics_of "$1")
  needed=$(jq -nRr '[inputs | fromjson? | .needed_bytes? // empty] | last // empty' "$metrics" 2>/dev/null) || needed=''
  printf 'it had used %s MB' "${USED_MB[$1]:-?}"
  if [[ -n $needed ]]; then printf ' and had said that it needs %d MB and its libraries' $((needed / 1000000)); fi
  printf '; this machine has %d MB' "$(awk '/^MemTotal:/ { print int($2 * 1024 / 1000000) }' /proc/meminfo)"
}

explain_kill() {  # explain_kill WORKER: that SIGKILL has ended
  local who='somebody, or the kernel for want of memory (dmesg says)'
  if [[ $(oom_kills) != "$OOM_KILLS" ]]; then who='the kernel, for want of memory'; fi
  insist_on "SIGKILL came from $who: $(memory_of "$1")"
  insist_on 'hint: fewer stages on this machine, a smaller batch.micro or train.recompute = "layer" need less'
}

explain_failure() {  # explain_failure WORKER
  local code=${CODES[$1]} name log how
  name=$(name_of "$1") log=$OUT/$(file_of "$1").log
  how="ended with code $code"
  if ((code > 128)); then how="was ended by SIG$(kill -l $((code - 128)))"; fi
  if ((code == 137)); then explain_kill "$1"; fi
  if [[ -s $log ]]; then
    error "$name $how; it said:"
    tail -n 10 "$log" | sed 's/^/    /' >&2 || true
  else
    error "$name $how"
  fi
}

what_follows() {  # of a step without a manifest nobody can go on
  local newest
  newest=$(find "$OUT/ckpt" -maxdepth 2 -name manifest.json 2>/dev/null | sed -n 's|.*/step-0*\([0-9][0-9]*\)/.*|\1|p' |
    sort -n | tail -n 1)
  if [[ -z $newest ]]; then printf 'begins anew'; else printf 'goes on from step %d' "$newest"; fi
}

# Of stages that were told to stop: those that met an error of their own on the way out give the
# code, because what they hold may not be saved. Does not return.
end_stopped() {
  local i code=$STOPPED_BY
  for ((i = WORKERS - 1; i >= 0; i--)); do
    if [[ $(end_code "${CODES[i]}") == "$STOPPED_BY" ]]; then continue; fi
    explain_failure "$i"
    code=${CODES[i]}
  done
  say "stopped; the same command $(what_follows)"
  exit "$code"
}

# However we end, no stage is left behind, and none is cut short.
end_stages() {
  if ((RUNNING > 0)); then  # no return: bash 5.2 complains of one at the end of a script
    signal_stages TERM
    wait_until_stopped
  fi
}

# Does not return: the others are stopped, and the stage that failed gives the exit code.
fail() {
  local cause code deadline=$((SECONDS + SETTLE_S))
  while ((RUNNING > 0 && SECONDS < deadline)); do
    pause 0.1
    reap
  done
  find_failed
  cause=$FAILED code=${CODES[FAILED]}
  end_stages
  explain_failure "$cause"
  exit "$code"
}

# The final record, and what it says in a sentence. Where there was nothing left to do, the record of
# the run that did it stays: this one would know neither its time nor its tokens.
leave_result() {
  local record
  record=$(tail -n 1 "$TEMP_FOLDER/0.out")
  if [[ $(jq -r '.tokens // empty' <<<"$record" 2>/dev/null) == 0 ]]; then
    say "nothing to do: the run in $OUT has done its $(jq -r .steps <<<"$record") steps"
    if same_weights "$FORMER_RESULT" "$record"; then record=$FORMER_RESULT; fi
  else
    summarise "$record"
  fi
  printf '%s\n' "$record" >"$OUT/result.json" ||
    die "$EXIT_IO" "$OUT/result.json cannot be written" "all is saved in $OUT/ckpt"
}

same_weights() { [[ $(weights_of "$1") == "$(weights_of "$2")" ]]; }
weights_of() { jq -r '.weights_sha256 // empty' <<<"$1" 2>/dev/null || true; }

summarise() {  # summarise RECORD
  local steps loss time speed slow
  read -r steps loss time speed < <(jq -r '[.steps, .val_loss, (.train_s | if . then floor else . end),
    (if .tokens and .train_s then .tokens / .train_s | floor else null end)] | map(. // "-") | join(" ")' \
    <<<"$1" 2>/dev/null) || return 0
  if [[ $steps == - || $time == - ]]; then return 0; fi
  if [[ $loss == - ]]; then loss=''; else loss=$(printf ', validation loss %.3f nats per token' "$loss"); fi
  if [[ $speed == - ]]; then speed=''; else speed=", $speed tokens/s"; fi
  say "done: step $steps$loss, after $(duration "$time")$speed; the weights are in $OUT/ckpt"
  slow=$(jq -r '.bottleneck // empty' <<<"$1")
  if [[ -n $slow ]]; then say "$slow"; fi
}

keep_job() {
  need_tool jq jq
  STAGE=$(find_program ptrain-stage)
  claim_folder
  make_temp_folder

  OOM_KILLS=$(oom_kills)
  on_exit end_stages
  keep_told stop leave_now
  start_stages
  wait_until_ready
  if [[ -z $FAILED ]]; then wait_until_ended; fi

  if [[ -n $STOPPED_BY ]]; then
    wait_until_stopped
    end_stopped
  fi
  if [[ -n $FAILED ]]; then fail; fi

  leave_result
  if [[ $JSON == yes ]]; then print_file "$OUT/result.json"; fi
}
