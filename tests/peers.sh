#!/usr/bin/env bash
# ptrain beside the current PyTorch: on its libtorch, and exchanging models with transformers.
# shellcheck disable=SC2317  # the parts are called by their names
# shellcheck source=../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../recipes/lib.sh"
# shellcheck source=parts.sh
. "$ROOT/tests/parts.sh"

readonly ENVIRONMENT=$ROOT/build/peers REQUIREMENTS=$ROOT/tests/peers/requirements.txt
readonly PYTHON=$ENVIRONMENT/bin/python
readonly UNIT_TIMEOUT_S=900  # of the unit tests of one part, which take seconds, or a minute

# NAME, then what it shows. Each is a function part_NAME.
parts() {
  cat <<'TABLE'
linked    ptrain-stage uses PyTorch's libtorch, and no other beside it
unit      the unit tests
bits      the same weights over cuts, schedules, interruptions and numbers of threads
eval      losses, gradients and updates: what a checkpoint is worth
exchange  transformers loads what ptrain exports, and ptrain reads what transformers saves
TABLE
}

names() { parts | awk '{ print $1 }'; }

usage() {
  cat <<TEXT
usage: peers.sh [--only PART]...

Makes a virtual environment in build/peers with the packages that tests/peers/requirements.txt
names, builds every program and test against the libtorch in it (recipes/build.sh --torch), and
runs there

$(parts | sed 's/^/  /')

Prints a line of TAP for each test. The packages are a download of some 3 GB, since PyTorch comes
with its CUDA libraries, and take 8 GB of disk; pip's own configuration says where they come from.
Both stay in build/ for the next time.

  --only PART  this part alone; may be given again

Example:
  ./tests/peers.sh --only exchange
TEXT
}

# --- the environment, and the build against its libtorch ---

# One that is whole has a copy of what was asked for.
make_environment() {
  local log=$TEMP_FOLDER/pip.log
  if cmp -s "$REQUIREMENTS" "$ENVIRONMENT/complete"; then return; fi
  python3 -c 'import venv, ensurepip' 2>/dev/null ||
    die "$EXIT_UNAVAILABLE" "python3 makes no virtual environments" "apt-get install python3-venv"
  say "downloading PyTorch and transformers into $ENVIRONMENT: some 3 GB, which take 8 GB there"
  rm -f "$ENVIRONMENT/complete"
  if ! { python3 -m venv "$ENVIRONMENT" && "$PYTHON" -m pip install -r "$REQUIREMENTS"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    die "$EXIT_UNAVAILABLE" "the packages of $REQUIREMENTS cannot be had (see above)" \
      "check the network, the room on the disk, and pip's configuration (pip config list)"
  fi
  cp "$REQUIREMENTS" "$ENVIRONMENT/complete"
}

# --- tests: each prints a line of TAP ---

# What bats reports, under numbers of ours. A test that its plan names and that did not run failed.
run_bats() {  # run_bats FILE...
  local file tap=$TEMP_FOLDER/tap line planned seen
  for file in "$@"; do
    planned=0 seen=0
    env --default-signal=HUP,INT,QUIT,TERM bats --tap "$ROOT/tests/$file" </dev/null >"$tap" 2>&1 || true
    while IFS= read -r line; do
      case $line in
        1..*) planned=${line#1..} ;;
        'ok '*) report 0 "$(basename "$file"): ${line#ok * }"; seen=$((seen + 1)) ;;
        'not ok '*) report 1 "$(basename "$file"): ${line#not ok * }"; seen=$((seen + 1)) ;;
        *) printf '%s\n' "$line" ;;
      esac
    done <"$tap"
    if ((planned == 0 || seen < planned)); then report 1 "$file: $seen of $planned tests ran"; fi
  done
}

part_linked() {
  local folder code=0
  folder=$("$PYTHON" -c 'import importlib.util; print(importlib.util.find_spec("torch").submodule_search_locations[0])')
  folder=$(realpath "$folder")  # as build.sh takes it
  ldd "$PTRAIN_BIN/ptrain-stage" | awk '$1 ~ /^lib(torch|c10)/ { print $3 }' >"$TEMP_FOLDER/libraries"
  grep -q "^$folder/" "$TEMP_FOLDER/libraries" || code=1
  if grep -v "^$folder/" "$TEMP_FOLDER/libraries" >&2; then code=1; fi
  report "$code" "ptrain-stage is linked with the libtorch of the environment alone"
  code=0
  "$PTRAIN_BIN/ptrain-stage" --version >"$TEMP_FOLDER/version" || code=1
  grep -qxF "libtorch $(sed -n 's/^torch==//p' "$REQUIREMENTS")" "$TEMP_FOLDER/version" || code=1
  sed 's/^/# /' "$TEMP_FOLDER/version"
  report "$code" "ptrain-stage --version names the release that the requirements name"
}

part_unit() {
  local program log=$TEMP_FOLDER/unit.log code passed
  for program in "$(dirname "$PTRAIN_BIN")"/tests/test_*; do
    code=0
    (cd "$TEMP_FOLDER" && GTEST_BRIEF=1 timeout "$UNIT_TIMEOUT_S" "$program") </dev/null >"$log" 2>&1 || code=$?
    if ((code)); then tail -n 40 "$log" >&2; fi
    passed=$(sed -n 's/^\[  PASSED  \] \([0-9]*\).*/\1/p' "$log" | tail -n 1)
    report "$code" "$(basename "$program"): ${passed:-no} tests passed"
  done
}

part_bits() { run_bats cli/train.bats peers/threads.bats; }
part_eval() { run_bats cli/eval_sample.bats cli/reference.bats; }
part_exchange() { run_bats cli/hf.bats peers/exchange.bats; }

main() {
  choose "$@"
  need_tool python3 python3
  "$RECIPES/install-deps.sh" test >&2
  make_temp_folder
  unset PYTHONPATH PYTHONHOME
  make_environment
  PTRAIN_BIN=$("$RECIPES/build.sh" --torch "$PYTHON" --tests)
  export PTRAIN_BIN PEERS_PYTHON=$PYTHON
  local part
  for part in "${CHOSEN[@]}"; do
    say "$part"
    "part_$part"
  done
  printf '1..%d\n' "$NUMBER"
  exit "$CODE"
}

main "$@"
