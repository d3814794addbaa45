#!/usr/bin/env bash
# Whether the simulator finds what it is there for: defects that are planted one at a time.
# shellcheck source=../../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../recipes/lib.sh"
# shellcheck source=../parts.sh
. "$ROOT/tests/parts.sh"

readonly SEEDS=1-1000         # over the simulator's own network
readonly SESSION_SEEDS=1-100  # and over real sessions, which take longer

names() { find "$ROOT/tests/sim/planted" -name '*.patch' -printf '%f\n' | sed 's/\.patch$//' | sort; }

usage() {
  cat <<TEXT
usage: planted.sh [--only DEFECT]...

Plants each defect of tests/sim/planted in a copy of the checkout's HEAD, builds the simulator
there, and runs the seeds $SEEDS, and $SESSION_SEEDS over real sessions: some of them must fail. A line of TAP for each on standard output.

  --only DEFECT  this one alone; may be given again

Example:
  ./tests/sim/planted.sh --only watermark_off_by_one
TEXT
}

# found DEFECT: the first seed that fails ends it
found() {
  local code=0
  git -C "$TEMP_FOLDER/ptrain" checkout --quiet -- .  # what the one before has left
  git -C "$TEMP_FOLDER/ptrain" apply "$ROOT/tests/sim/planted/$1.patch" || return "$EXIT_NEGATIVE"
  (cd "$TEMP_FOLDER/ptrain" && cmake --build --preset release --target sim_pipelines) >&2 || return
  local simulator=$TEMP_FOLDER/ptrain/build/release/tests/sim_pipelines
  "$simulator" --seeds "$SESSION_SEEDS" --sessions --first >&2 || code=$?
  if ((code == 0)); then "$simulator" --seeds "$SEEDS" --first >&2 || code=$?; fi
  ((code == EXIT_NEGATIVE))
}

main() {
  choose "$@"
  need_tool git git
  make_temp_folder
  git clone --quiet "$ROOT" "$TEMP_FOLDER/ptrain"
  (cd "$TEMP_FOLDER/ptrain" && cmake --preset release) >&2
  echo "1..${#CHOSEN[@]}"
  local defect code
  for defect in "${CHOSEN[@]}"; do
    code=0
    found "$defect" || code=$?
    report "$code" "the simulator finds $defect within the seeds $SEEDS, or $SESSION_SEEDS over sessions"
  done
  exit "$CODE"
}

main "$@"
