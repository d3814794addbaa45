#!/usr/bin/env bash
# Builds every program, also with another libtorch than the system's, and prints their folder.
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<'TEXT'
usage: build.sh [--torch PYTHON|FOLDER] [--tests] [--quiet]

Installs the packages that are missing, builds every program, and prints the folder that they
are in, so that PTRAIN_BIN can be set to it.

  --torch PYTHON  with the libtorch of the PyTorch (2.7 or newer, for the CPU or for CUDA) that
                  this python has: a name on PATH, or the path of one in a virtual environment
  --torch FOLDER  with the libtorch in this folder: an unpacked archive, or a package's own folder
  --tests         the unit tests as well
  -q, --quiet     say nothing but errors

Each libtorch has a build folder of its own. Nothing else is needed for one that has CUDA: the
toolkit is not, and of the driver only what PyTorch needs.

Example:
  PTRAIN_BIN=$(./recipes/build.sh --torch python3) ./recipes/pipeline.sh --job my.toml --stages 2 --out out/mine
TEXT
}

TORCH='' TESTS=OFF

parse_options() {
  while (($#)); do
    case $1 in
      --torch) need_value "$@"; TORCH=$2; shift ;;
      --tests) TESTS=ON ;;
      -q | --quiet) QUIET=(--quiet) ;;
      -h | --help) usage; exit 0 ;;
      *) die_usage "unknown argument: $1" ;;
    esac
    shift
  done
}

find_torch() {
  local python
  if [[ -d $TORCH ]]; then
    FOLDER=$(realpath "$TORCH")
  elif python=$(command -v -- "$TORCH"); then
    FOLDER=$(torch_of_python "$python") ||
      die "$EXIT_USAGE" "--torch $TORCH: this python has no PyTorch" "$TORCH -m pip install torch"
    FOLDER=$(realpath "$FOLDER")
  else
    die_usage "--torch $TORCH: neither a folder nor a python"
  fi
}

# A name for the build folder: the folder's release, and a mark of where it is.
build_name() {
  local release
  release=$(sed -n "s/^__version__ = '\([^']*\)'.*/\1/p" "$FOLDER/version.py" 2>/dev/null || true)
  if [[ -z $release ]]; then release=$(head -n 1 "$FOLDER/build-version" 2>/dev/null || true); fi
  printf 'torch-%s-%s' "${release:-unknown}" "$(printf '%s' "$FOLDER" | sha256sum | head -c 6)"
}

main() {
  parse_options "$@"
  [[ -f $ROOT/CMakeLists.txt ]] ||
    die "$EXIT_UNAVAILABLE" "there are no sources beside these recipes" "build in a clone of the repository"
  "$RECIPES/install-deps.sh" "${QUIET[@]}" >&2
  local into=$ROOT/build/release
  local -a options=(-DPTRAIN_BENCH=OFF -DPTRAIN_TESTS="$TESTS")
  if [[ -n $TORCH ]]; then
    find_torch
    into=$ROOT/build/$(build_name)
    options+=(-DPTRAIN_TORCH="$FOLDER")
  elif [[ -f $into/build.ninja && $TESTS == OFF ]]; then
    options=()  # as it was configured
  fi
  mkdir -p "$into"
  local log=$into/build.log
  say "building into $into"
  if ! (cd "$ROOT" && child cmake --preset release -B "$into" "${options[@]}") >"$log" 2>&1; then
    # What ptrain itself refuses stands in the lines after CMake's own word.
    grep -A 12 '^CMake Error' "$log" >&2 || tail -n 30 "$log" >&2
    die "$EXIT_USAGE" "it cannot be built like this (see above, and $log)"
  fi
  build_in "$into" "$log"
  printf '%s\n' "$into/bin"
}

main "$@"
