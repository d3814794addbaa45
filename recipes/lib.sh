# What the recipes share: messages in the style of the programs, temporary folders
# that go away, and the programs themselves, found or built. Source it; it changes
# no folder and prints nothing.
#
#   . "$(dirname "$0")/lib.sh"
# shellcheck shell=bash
set -euo pipefail

# Numbers have a point, whatever the language of the messages.
if [[ -n ${LC_ALL-} ]]; then
  export LANG=$LC_ALL
  unset LC_ALL
fi
export LC_NUMERIC=C

NAME=$(basename "$0")
RECIPES=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(dirname "$RECIPES")

# Exit codes, as ptrain(7) lists them.
# shellcheck disable=SC2034  # the recipes use them
readonly EXIT_NEGATIVE=1 EXIT_USAGE=2 EXIT_CORRUPT=65 EXIT_UNAVAILABLE=69 EXIT_IO=74 \
  EXIT_TRY_AGAIN=75

# --- messages: results go to stdout, everything here to stderr ---

say() { printf '%s: %s\n' "$NAME" "$*" >&2; }

# error WHAT [HINT]
error() {
  printf '%s: error: %s\n' "$NAME" "$1" >&2
  if [[ -n ${2-} ]]; then printf '%s: hint: %s\n' "$NAME" "$2" >&2; fi
}

# die CODE WHAT [HINT]
die() {
  local code=$1
  shift
  error "$@"
  exit "$code"
}

die_usage() { die "$EXIT_USAGE" "$1" "$NAME --help lists the options"; }

# need_value "$@": for an option loop, where $1 is the option and $2 its value.
need_value() { (($# >= 2)) || die_usage "$1 needs a value"; }

# need_count OPTION VALUE LOWEST HIGHEST: a whole number between the two.
need_count() {
  if ! [[ $2 =~ ^[0-9]{1,9}$ ]] || ((10#$2 < $3 || 10#$2 > $4)); then
    die_usage "$1 $2: expected a whole number from $3 to $4"
  fi
}

# duration SECONDS: "48 s", "3 min 20 s"
duration() {
  if (($1 < 60)); then
    printf '%d s' "$1"
  else
    printf '%d min %02d s' $(($1 / 60)) $(($1 % 60))
  fi
}

# --- what must be undone when the recipe ends, in reverse order ---

EXIT_ACTIONS=()

run_exit_actions() {
  local code=$? i
  for ((i = ${#EXIT_ACTIONS[@]} - 1; i >= 0; i--)); do eval "${EXIT_ACTIONS[i]}"; done
  exit "$code"
}

on_exit() {
  if ((${#EXIT_ACTIONS[@]} == 0)); then trap run_exit_actions EXIT; fi
  EXIT_ACTIONS+=("$1")
}

# make_temp_folder: sets TEMP_FOLDER, removed at the end. Sockets live in it, and the path
# of a Unix socket holds 107 bytes, so a long $TMPDIR is not used.
# shellcheck disable=SC2034  # the recipes use TEMP_FOLDER
make_temp_folder() {
  local parent=${TMPDIR:-/tmp}
  if ((${#parent} > 60)); then parent=/tmp; fi
  TEMP_FOLDER=$(mktemp -d "$parent/ptrain-XXXXXX") ||
    die "$EXIT_IO" "no temporary folder can be made in $parent" "set TMPDIR to a folder you can write to"
  on_exit "rm -rf $(printf %q "$TEMP_FOLDER")"
}

# --- this machine ---

cores() { nproc; }

# Compiling one source takes up to 2 GiB.
build_jobs() {
  local memory_gib
  memory_gib=$(awk '/^MemAvailable/ { print int($2 / 1048576) }' /proc/meminfo)
  local jobs=$((memory_gib / 2)) most
  most=$(cores)
  if ((jobs > most)); then jobs=$most; fi
  if ((jobs < 1)); then jobs=1; fi
  printf '%d' "$jobs"
}

# --- the programs ---

# find_program NAME: its path. In $PTRAIN_BIN where that is set, else in the checkout's release
# build, else beside an installed copy of the recipes (PREFIX/share/ptrain/recipes), else on PATH.
find_program() {
  local folder
  if [[ -n ${PTRAIN_BIN-} ]]; then
    [[ -x $PTRAIN_BIN/$1 ]] || die "$EXIT_UNAVAILABLE" "no $1 in $PTRAIN_BIN (PTRAIN_BIN)"
    printf '%s\n' "$PTRAIN_BIN/$1"
    return
  fi
  for folder in "$ROOT/build/release/bin" "$RECIPES/../../../bin"; do
    if [[ -x $folder/$1 ]]; then
      printf '%s\n' "$folder/$1"
      return
    fi
  done
  command -v "$1" ||
    die "$EXIT_UNAVAILABLE" "$1 is neither built nor on PATH" \
      "cmake --preset release && cmake --build --preset release, or run recipes/quickstart.sh"
}

# find_part NAME: the path of what recipes run and people do not. It lies in lib/ptrain, beside the
# folder of the programs (see find_program).
find_part() {
  local folder
  for folder in ${PTRAIN_BIN:+"$PTRAIN_BIN/.."} "$ROOT/build/release" "$RECIPES/../../.."; do
    if [[ -x $folder/lib/ptrain/$1 ]]; then
      printf '%s\n' "$folder/lib/ptrain/$1"
      return
    fi
    if [[ -n ${PTRAIN_BIN-} ]]; then break; fi
  done
  die "$EXIT_UNAVAILABLE" "no lib/ptrain/$1 beside ${PTRAIN_BIN:-the programs}" \
    "cmake --preset release && cmake --build --preset release --target $1"
}

# need_tool NAME PACKAGE: a program of the system.
need_tool() {
  command -v "$1" >/dev/null ||
    die "$EXIT_UNAVAILABLE" "$1 is not installed" "apt-get install $2, or run recipes/install-deps.sh"
}

# build_programs LOG NAME...: the release build of these, nothing else. A build folder that
# exists keeps its configuration. On a terminal ninja shows its one line; elsewhere the
# words go to LOG.
build_programs() {
  local log=$1 code=0
  shift
  if [[ ! -f $ROOT/build/release/build.ninja ]]; then
    (cd "$ROOT" && cmake --preset release -DPTRAIN_TESTS=OFF -DPTRAIN_BENCH=OFF) >"$log" 2>&1 || code=$?
  fi
  local -a build=(cmake --build "$ROOT/build/release" -j "$(build_jobs)" --target "$@")
  if ((code == 0)); then
    if [[ -t 2 ]]; then "${build[@]}" >&2 || code=$?; else "${build[@]}" >>"$log" 2>&1 || code=$?; fi
  fi
  if ((code != 0)); then
    if [[ -s $log ]]; then tail -n 30 "$log" >&2; fi
    die "$EXIT_IO" "the build failed (see above, and $log)"
  fi
}

# json_field FILE KEY: one field of the last JSON object in FILE, empty where it has none.
json_field() { jq -rs --arg key "$2" 'last | .[$key] // empty' "$1"; }
