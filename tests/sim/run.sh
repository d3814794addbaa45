#!/usr/bin/env bash
# Whole jobs on virtual time, seed by seed.
# shellcheck source=../../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../recipes/lib.sh"

usage() {
  cat <<'TEXT'
usage: run.sh [--seeds FIRST-LAST]

Runs the pipelines that the seeds stand for: the real engine, driver and checkpoints with an
arithmetic that is a digest, messages that take their time, stages that die, disks that forget.
Each must end with the weights of one stage alone. A seed that fails is said with the command
that runs it again. By default seeds 1-2000. The programs must be built: tests/run.sh does that.

Example:
  ./tests/sim/run.sh --seeds 1-100
TEXT
}

SEEDS=1-2000
while (($#)); do
  case $1 in
    --seeds) need_value "$@"; SEEDS=$2; shift ;;
    -h | --help) usage; exit 0 ;;
    *) die_usage "unknown option: $1" ;;
  esac
  shift
done
[[ $SEEDS =~ ^[0-9]+-[0-9]+$ ]] || die_usage "--seeds $SEEDS: expected FIRST-LAST, such as 1-100"

PROGRAM=${PTRAIN_BUILD:-$ROOT/build/release}/tests/sim_pipelines
[[ -x $PROGRAM ]] || die "$EXIT_UNAVAILABLE" "$PROGRAM is not built" "./tests/run.sh --only unit"
"$PROGRAM" --seeds "$SEEDS"
