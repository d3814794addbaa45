#!/usr/bin/env bash
# One pipeline on this machine: N stages, a process each, started, watched and ended together.
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=job_keeper.bash
. "$(dirname "${BASH_SOURCE[0]}")/job_keeper.bash"

usage() {
  cat <<'TEXT'
usage: pipeline.sh --job FILE --stages N | --plan FILE --out FOLDER [--set KEY=VALUE]...
                   [--threads N] [--device DEVICE]... [--json] [--quiet]

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
  --plan FILE      as many stages as ptrain-probe plan has planned, cut as it says (ptrain-plan(5))
  --out FOLDER     made where it does not exist
  --set KEY=VALUE  another value for one key of the job; may be given again
  --resume WHAT    auto (the default), none, or the id of a checkpoint
  --threads N      of each stage (default: the machine's cores divided among the stages, and no more
                   than a job of that size can use)
  --device DEVICE  cpu (the default) or cuda:N; given again, stage 0 computes on the first, stage 1 on
                   the second, and so on, in turn
  --ticket FILE    the stages meet through the relays of this ticket instead; given again, stage 0
                   takes the first, stage 1 the second, and so on, in turn
  --connections N  TCP connections for tensors between two stages, with --ticket (default 1)
  --on PREFIX      stage I runs on host PREFIX(I+1) of the laboratory that this runs in
                   (recipes/lab/lab.sh), with a key of its own; with --ticket
  --json           print the final record on stdout
  -q, --quiet      say nothing but errors: no progress line, no summary

Ends with the code of the stage that failed first; with 130, 143 or 129 after SIGINT, SIGTERM
or SIGHUP. The stages end their step then and write what must be written. Only Ctrl-C, pressed
again a second later, leaves now.

Example:
  ./recipes/pipeline.sh --job recipes/jobs/quickstart.toml --stages 2 --out out/two
TEXT
}

main() {
  STAGES=''
  while (($#)); do
    case $1 in
      --stages) need_value "$@"; STAGES=$2 TAKEN=2 ;;
      --plan) need_value "$@"; PLAN=$2 TAKEN=2 ;;
      *) parse_option "$@" ;;
    esac
    shift "$TAKEN"
  done
  if [[ -n $PLAN ]]; then
    if [[ -n $STAGES ]]; then die_usage "--plan says how many stages: give it or --stages"; fi
    need_tool jq jq
    need_plan "$PLAN"
    STAGES=$(jq '[.view[].stage] | max + 1' "$PLAN")
  fi
  if [[ -z $JOB || -z $STAGES || -z $OUT ]]; then
    die_usage "--job, --out, and --stages or --plan are needed"
  fi
  need_count --stages "$STAGES" 1 "$MOST_WORKERS"
  check_options
  keep_job
}

main "$@"
