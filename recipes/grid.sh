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
TEXT
  usage_of_lanes
  cat <<'TEXT'

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
