# What every command-line test loads: the built programs on PATH, and three words
# to say what must hold. Tests write only below $BATS_TEST_TMPDIR.
#
#   expect 65 ptrain-data info "$file"     runs it; the exit code must be 65
#   prints "12 shards"                     its stdout holds this text
#   says "magic 3 at offset 0"             its stderr holds this text
# shellcheck shell=bash disable=SC2154  # bats sets status, output and stderr

bats_require_minimum_version 1.5.0

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export ROOT
export RECIPES=$ROOT/recipes
# Another build, say one with sanitizers, is tested with PTRAIN_BIN=FOLDER.
export PTRAIN_BIN=${PTRAIN_BIN:-$ROOT/build/release/bin}
export PATH=$PTRAIN_BIN:$PATH
export NO_COLOR=1

# expect CODE COMMAND...: leaves stdout in $output, stderr in $stderr, the code in $status.
expect() {
  local code=$1
  shift
  run --separate-stderr "$@"
  if [[ $status -ne $code ]]; then
    echo "exit code $status, expected $code, of: $*"
    show_output
    return 1
  fi
}

# prints TEXT: the last command's stdout holds it.
prints() {
  [[ $output == *"$1"* ]] || { echo "stdout lacks: $1"; show_output; return 1; }
}

# says TEXT: the last command's stderr holds it.
says() {
  [[ $stderr == *"$1"* ]] || { echo "stderr lacks: $1"; show_output; return 1; }
}

show_output() {
  printf 'stdout: %s\nstderr: %s\n' "${output-}" "${stderr-}"
}

# eventually SECONDS COMMAND...: the command succeeds within that time.
eventually() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < deadline)) || { echo "never came true: $*"; return 1; }
    sleep 0.1
  done
}

# gone PID...: they have ended, whether or not anybody has waited for them
gone() {
  local pid state
  for pid in "$@"; do
    { read -r _ _ state _ <"/proc/$pid/stat"; } 2>/dev/null || continue
    [[ $state == [ZX] ]] || return 1
  done
}

# commands COMMAND...: those that its --help lists, each with what leads to it
commands() {
  local each
  echo "$*"
  for each in $("$@" --help | sed -n '/^Subcommands:/,/^[A-Z]/s/^  \([a-z][a-z-]*\).*/\1/p'); do
    commands "$@" "$each"
  done
}
