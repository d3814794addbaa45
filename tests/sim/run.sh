#!/usr/bin/env bash
# Whole jobs on virtual time, seed by seed.
# shellcheck source=../../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../recipes/lib.sh"

usage() {
  cat <<'TEXT'
usage: run.sh [--seeds FIRST-LAST] [--sessions] [--tap]

Runs the pipelines that the seeds stand for: the real engine, driver and checkpoints with an
arithmetic that is a digest, messages that take their time, stages that die, disks that forget.
Each must end with the weights of one process alone. With --sessions the processes have real
sessions, whose connections break, fall silent and are refused; a seed takes some ten times as long. A seed that fails is said with the command
that runs it again. By default seeds 1-2000. The programs must be built: tests/run.sh does that.
Half of the seeds run on one processor and half on another. With --tap standard output is one line of
the Test Anything Protocol.

Example:
  ./tests/sim/run.sh --seeds 1-100
TEXT
}

SEEDS=1-2000 TAP='' SESSIONS=()
while (($#)); do
  case $1 in
    --seeds) need_value "$@"; SEEDS=$2; shift ;;
    --sessions) SESSIONS=(--sessions) ;;
    --tap) TAP=1 ;;
    -h | --help) usage; exit 0 ;;
    *) die_usage "unknown option: $1" ;;
  esac
  shift
done
[[ $SEEDS =~ ^[0-9]+-[0-9]+$ ]] || die_usage "--seeds $SEEDS: expected FIRST-LAST, such as 1-100"

PROGRAM=${PTRAIN_BUILD:-$ROOT/build/release}/tests/sim_pipelines
[[ -x $PROGRAM ]] || die "$EXIT_UNAVAILABLE" "$PROGRAM is not built" "./tests/run.sh --only unit"
make_temp_folder
FIRST=${SEEDS%-*} LAST=${SEEDS#*-} CODE=0
MIDDLE=$(((10#$FIRST + 10#$LAST) / 2))
"$PROGRAM" --seeds "$FIRST-$MIDDLE" "${SESSIONS[@]}" >"$TEMP_FOLDER/half" &
HALF=$!
if ((MIDDLE < LAST)); then
  "$PROGRAM" --seeds "$((MIDDLE + 1))-$LAST" "${SESSIONS[@]}" >"$TEMP_FOLDER/rest" || CODE=$?
fi
wait "$HALF" || CODE=$?
if [[ -z $TAP ]]; then
  cat "$TEMP_FOLDER"/*
else
  cat "$TEMP_FOLDER"/* >&2
  echo 1..1
  if ((CODE == 0)); then echo "ok 1 seeds $SEEDS"; else echo "not ok 1 seeds $SEEDS"; fi
fi
exit "$CODE"
