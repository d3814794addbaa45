#!/usr/bin/env bash
# Pipelines side by side on this machine: S stages in L lanes, a process each.
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=job_keeper.bash
. "$(dirname "${BASH_SOURCE[0]}")/job_keeper.bash"

usage() {
  cat <<'TEXT'
usage: grid.sh --job FILE --stages S --lanes L --out FOLDER [--set KEY=VALUE]... [--threads N]
               [--device DEVICE]... [--json] [--quiet]

Trains the job in FILE on this machine in L lanes, each of which computes its share of every step's
microbatches, cut into S stages: S x L ptrain-stage processes, joined by Unix sockets. Every step
the lanes' gradients are summed (ptrain-parallel(7)). Leaves in FOLDER:

  metrics.jsonl                 of stage 0 in lane 0, a JSON object a line
  stage-I-lane-J.metrics.jsonl  of the others
  stage-I-lane-J.log            what it said
  ckpt/                         checkpoints
  result.json                   the final record

A FOLDER that holds a checkpoint of the same job continues that run, whatever its lanes were.

  --job FILE       the job, see ptrain-job(5)
  --stages S       how many stages
  --lanes L        how many lanes, at most the microbatches of a step; S x L is at most 64
  --out FOLDER     made where it does not exist
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

Example:
  ./recipes/grid.sh --job recipes/jobs/quickstart.toml --stages 2 --lanes 2 --out out/grid
TEXT
}

main() {
  STAGES='' LANES=''
  while (($#)); do
    case $1 in
      --stages) need_value "$@"; STAGES=$2 TAKEN=2 ;;
      --lanes) need_value "$@"; LANES=$2 TAKEN=2 ;;
      *) parse_option "$@" ;;
    esac
    shift "$TAKEN"
  done
  if [[ -z $JOB || -z $STAGES || -z $LANES || -z $OUT ]]; then
    die_usage "--job, --stages, --lanes and --out are needed"
  fi
  need_count --stages "$STAGES" 1 "$MOST_WORKERS"
  need_count --lanes "$LANES" 1 "$MOST_WORKERS"
  check_options
  keep_job
}

main "$@"
