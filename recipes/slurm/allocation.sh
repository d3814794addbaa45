#!/usr/bin/env bash
# One job inside an allocation of Slurm: a process for each of its cells, as a job step each.
# shellcheck source=../lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
# shellcheck source=../job_keeper.bash
. "$(dirname "${BASH_SOURCE[0]}")/../job_keeper.bash"

usage() {
  cat <<'TEXT'
usage: allocation.sh --job FILE --out FOLDER [--stages S] [--lanes L] [--port P] [--set KEY=VALUE]...
                     [--threads N] [--device DEVICE]... [--ticket FILE]... [--json] [--quiet]

Trains the job in FILE on the nodes of the allocation that it is called in: by sbatch, through
train.sbatch, or after salloc. S stages in L lanes are S x L tasks of the allocation (--ntasks), a
ptrain-stage each, which share its nodes in the order of stages and in each of lanes. All nodes
see the same files at the same places. Leaves in FOLDER what grid.sh leaves there; the same FOLDER
again goes on, also where Slurm runs the job again.

  --job FILE       the job, see ptrain-job(5)
  --out FOLDER     made where it does not exist
  --stages S       how many stages (default 1)
  --lanes L        how many lanes (default: as many as the allocation has tasks for the stages)
  --port P         where the first process listens, the next one at the next port, and so on (default
                   20000 and the last four digits of Slurm's number of the job, times four)
  --set KEY=VALUE  another value for one key of the job; may be given again
  --resume WHAT    auto (the default), none, or the id of a checkpoint
  --threads N      of each process (default: the processors of a task, --cpus-per-task)
  --device DEVICE  cpu (the default) or cuda:N; given again, the processes take them in turn
  --ticket FILE    the processes meet through the relays of this ticket; given again, in turn
  --connections N  TCP connections for tensors between two processes, with --ticket (default 1)
  --json           print the final record on stdout
  -q, --quiet      say nothing but errors, no summary

Ends with the code of the process that failed first; with 143 where Slurm ends the job (scancel,
its time is up): the processes end their step then and write what must be written.

Example:
  sbatch --nodes=2 --ntasks-per-node=2 recipes/slurm/train.sbatch --job job.toml --stages 2 --out out
TEXT
}

PORT=''
TASK_NODES=()      # of each task of the allocation, the node that it is on
NODE_ADDRESSES=()  # of each task

# find_nodes: the tasks of the allocation in blocks, as Slurm counts them: SLURM_TASKS_PER_NODE=2(x3),1
find_nodes() {
  local part node count i
  local -a nodes=() counts=()
  mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
  for part in ${SLURM_TASKS_PER_NODE//,/ }; do
    count=1
    if [[ $part == *'(x'* ]]; then count=${part#*(x} count=${count%)}; fi
    for ((i = 0; i < count; i++)); do counts+=("${part%(*}"); done
  done
  for i in "${!nodes[@]}"; do
    node=${nodes[i]}
    for ((count = counts[i]; count > 0; count--)); do
      TASK_NODES+=("$node")
      NODE_ADDRESSES+=("$(address_of_node "$node")")
    done
  done
}

address_of_node() {
  scontrol show node --oneliner "$1" | sed -n 's/.* NodeAddr=\([^ ]*\).*/\1/p'
}

# --- what job_keeper.bash asks of whoever keeps processes elsewhere ---

# The key of each process lies in FOLDER, which all nodes see, and so is made here.
write_meeting() {
  local i key keys=$OUT/.keys
  (umask 077 && mkdir -p "$keys")
  for ((i = 0; i < WORKERS; i++)); do
    printf '%s\n' "$(cell_of "$i")" >&4
    key=$("$STAGE" identity --key "$keys/$i")
    printf '%s tcp://%s:%d#%s\n' "$(cell_of "$i")" "${NODE_ADDRESSES[i]}" $((PORT + i)) "$key"
  done >"$OUT/.endpoints" 4>"$OUT/.cells"
}

start_stages() {
  local i
  write_meeting
  for ((i = 0; i < WORKERS; i++)); do start_stage "$i"; done
}

start_stage() {
  local i=$1
  local -a arguments=(run --job "$JOB" --cell "$(cell_of "$i")" --resume "$RESUME" --json "${OVERRIDES[@]}"
    --set "checkpoint.dir=$OUT/ckpt" --key "$OUT/.keys/$i" --metrics "$OUT/$(metrics_of "$i")")
  if ((${#TICKETS[@]} > 0)); then
    arguments+=(--ticket "${TICKETS[i % ${#TICKETS[@]}]}" --cells "$OUT/.cells")
  elif ((WORKERS > 1)); then
    arguments+=(--endpoints "$OUT/.endpoints")
  fi
  if [[ -n $CONNECTIONS ]]; then arguments+=(--connections "$CONNECTIONS"); fi
  if [[ -n $THREADS ]]; then arguments+=(--threads "$THREADS"); fi
  if ((${#DEVICES[@]} > 0)); then arguments+=(--device "${DEVICES[i % ${#DEVICES[@]}]}"); fi
  # A step of the allocation, with its share of it. In a session of its own: signals are ours to pass on.
  OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1} setsid setpriv --pdeathsig TERM srun --quiet --exact --ntasks=1 --nodes=1 --nodelist="${TASK_NODES[i]}" \
    --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" --job-name="$(file_of "$i")" \
    "$STAGE" "${arguments[@]}" </dev/null >"$TEMP_FOLDER/$i.out" 2>"$OUT/$(file_of "$i").log" &
  PIDS[i]=$! CODES[i]='' RUNNING=$((RUNNING + 1))
}

explain_kill() {
  insist_on "SIGKILL came from somebody on ${TASK_NODES[$1]}, from Slurm, or from its kernel for want of memory"
}

watch_memory() { :; }  # it is the nodes'

main() {
  STAGES='' LANES=''
  while (($#)); do
    TAKEN=2
    case $1 in
      --stages) need_value "$@"; need_count "$1" "$2" 1 "$MOST_WORKERS"; STAGES=$2 ;;
      --lanes) need_value "$@"; need_count "$1" "$2" 1 "$MOST_WORKERS"; LANES=$2 ;;
      --port) need_value "$@"; need_count "$1" "$2" 1024 65000; PORT=$2 ;;
      --on) die_usage "unknown argument: $1" ;;
      *) parse_option "$@" ;;
    esac
    shift "$TAKEN"
  done
  if [[ -z $JOB || -z $OUT ]]; then die_usage "--job and --out are needed"; fi
  if [[ -z ${SLURM_JOB_ID-} ]]; then
    die "$EXIT_UNAVAILABLE" "this is no allocation of Slurm: SLURM_JOB_ID is not set" \
      "sbatch recipes/slurm/train.sbatch ..., or salloc first"
  fi
  need_tool srun slurm-client
  find_nodes
  STAGES=${STAGES:-1}
  LANES=${LANES:-$((${#TASK_NODES[@]} / STAGES))}
  if ((LANES < 1 || STAGES * LANES > ${#TASK_NODES[@]})); then
    die_usage "$STAGES stages in ${LANES/#0/1} lanes need more than the ${#TASK_NODES[@]} tasks of this allocation (--ntasks)"
  fi
  PORT=${PORT:-$((20000 + SLURM_JOB_ID % 10000 * 4))}
  check_options
  keep_job
}

main "$@"
