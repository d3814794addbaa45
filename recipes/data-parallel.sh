#!/usr/bin/env bash
# One job on this machine in N lanes, each a process that has the whole model.
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=job_keeper.bash
. "$(dirname "${BASH_SOURCE[0]}")/job_keeper.bash"

usage() {
  cat <<'TEXT'
usage: data-parallel.sh --job FILE --lanes N --out FOLDER [--set KEY=VALUE]... [--threads N]
                        [--device DEVICE]... [--json] [--quiet]

Trains the job in FILE on this machine in N ptrain-stage processes, joined by Unix sockets. Each has
the whole model and computes its share of every step's microbatches; then they sum their gradients
(ptrain-parallel(7)). Leaves in FOLDER what grid.sh leaves there with one stage.

  --job FILE       the job, see ptrain-job(5)
  --lanes N        how many lanes, 1 to 64, and at most the microbatches of a step
  --out FOLDER     made where it does not exist; one with a checkpoint of the same job continues it
TEXT
  usage_of_lanes
  cat <<'TEXT'

Example:
  ./recipes/data-parallel.sh --job recipes/jobs/quickstart.toml --lanes 2 --out out/lanes
TEXT
}

main() {
  LANES=''
  while (($#)); do
    case $1 in
      --lanes) need_value "$@"; LANES=$2 TAKEN=2 ;;
      *) parse_option "$@" ;;
    esac
    shift "$TAKEN"
  done
  if [[ -z $JOB || -z $LANES || -z $OUT ]]; then die_usage "--job, --lanes and --out are needed"; fi
  need_count --lanes "$LANES" 1 "$MOST_WORKERS"
  check_options
  keep_job
}

main "$@"
