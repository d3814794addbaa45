# What the recipes share: messages in the style of the programs, temporary folders
# that go away, and the programs themselves, found or built. Source it; it changes
# no folder and prints nothing.
#
#   . "$(dirname "$0")/lib.sh"
# shellcheck shell=bash

# --- the person's own shell stays outside ---

# What changes how bash or the tools read these scripts: functions and aliases under the names of
# commands, options of the shell that were exported, other ways to look for a folder, a file or a
# command. None of it is for the programs that run from here, either.
# shellcheck disable=SC2046  # a word a function
unset -f -- $(compgen -A function)
unalias -a
set +o posix +o noclobber +o noglob +o keyword -o braceexpand
shopt -u nocasematch nocaseglob nullglob failglob dotglob xpg_echo lastpipe expand_aliases
export -n SHELLOPTS BASHOPTS
unset CDPATH GLOBIGNORE EXECIGNORE BASH_COMPAT BASH_ENV ENV POSIXLY_CORRECT \
  GREP_OPTIONS GREP_COLOR GREP_COLORS
IFS=$' \t\n'
set -euo pipefail

# Where a standard descriptor was closed, a file that is opened later would take its number.
for fd in 0 1 2; do
  if [[ ! -e /proc/self/fd/$fd ]]; then eval "exec $fd<>/dev/null"; fi
done
unset fd
# Nobody's reading, and a terminal that lets no background job write, are no reason to end.
trap : PIPE
trap '' TTOU

# Numbers have a point and letters their order, whatever the language of the messages.
if [[ -n ${LC_ALL-} ]]; then
  export LANG=$LC_ALL
  unset LC_ALL
fi
export LC_NUMERIC=C LC_COLLATE=C

NAME=$(basename "$0")
RECIPES=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(dirname "$RECIPES")

# Exit codes, as ptrain(7) lists them.
# shellcheck disable=SC2034  # the recipes use them
readonly EXIT_NEGATIVE=1 EXIT_USAGE=2 EXIT_CORRUPT=65 EXIT_UNAVAILABLE=69 EXIT_IO=74 \
  EXIT_TRY_AGAIN=75 EXIT_PERMISSION=77

# --- messages: results go to stdout, everything here to stderr ---

QUIET=()  # or --quiet, also for what the recipe calls: nothing is said but errors

# say WORDS...
say() { if ((${#QUIET[@]} == 0)); then insist_on "$*"; fi; }

# Where stderr cannot be written, the work goes on without words.
insist_on() { printf '%s: %s\n' "$NAME" "$1" >&2 2>/dev/null || true; }

# error WHAT [HINT]
error() {
  insist_on "error: $1"
  if [[ -n ${2-} ]]; then insist_on "hint: $2"; fi
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

# about SECONDS: for a time that is only foreseen: "40 s", "7 minutes", "3 hours"
about() {
  if (($1 < 90)); then
    printf '%d s' $((($1 + 9) / 10 * 10))
  elif (($1 < 90 * 60)); then
    printf '%d minutes' $((($1 + 30) / 60))
  else
    printf '%d hours' $((($1 + 1800) / 3600))
  fi
}

# --- what must be undone when the recipe ends, in reverse order ---

EXIT_ACTIONS=()

# One that fails takes neither the others with it nor the code.
run_exit_actions() {
  local code=$? i
  for ((i = ${#EXIT_ACTIONS[@]} - 1; i >= 0; i--)); do eval "${EXIT_ACTIONS[i]}" || true; done
  exit "$code"
}

on_exit() {
  if ((${#EXIT_ACTIONS[@]} == 0)); then trap run_exit_actions EXIT; fi
  EXIT_ACTIONS+=("$1")
}

# --- being told to end: the rules of ptrain(7), HOW IT ENDS ---
#
# A signal often reaches a whole process group. So a recipe that keeps children waits for them in
# builtins alone: a sleep(1) that a signal ends would end the recipe.

STOPPED_BY=''       # the code to end with, once a signal has come: 129, 130 or 143
CHILD=''            # the process that child() waits for
INTERRUPTED=''      # a signal came
INTERRUPTED_AT=''   # when the first SIGINT did, in microseconds
PAUSE=''            # a pipe that nothing ever comes through

# Children in the background of a script ignore SIGINT, unless they are told otherwise; what was
# ignored when we began stays ignored.
LISTENING=(env --default-signal=INT)
while read -r field mask; do
  if [[ $field == SigIgn: ]] && ((16#$mask & 2)); then LISTENING=(); fi
done </proc/self/status
unset field mask

# keep_told STOP INSIST: from now on the first signal that tells us to end calls STOP, once, and a
# second SIGINT, a second or more after the first, INSIST. Both with the signal's name.
keep_told() {
  WHEN_TOLD=$1 WHEN_INSISTED=$2
  trap 'hear 1 HUP' HUP
  trap 'hear 2 INT' INT
  trap 'hear 15 TERM' TERM
}

hear() {  # hear NUMBER NAME
  local now=${EPOCHREALTIME/./}
  INTERRUPTED=yes
  if [[ -z $STOPPED_BY ]]; then
    STOPPED_BY=$((128 + $1))
    "$WHEN_TOLD" "$2"
  fi
  if (($1 != 2)); then return 0; fi  # without the 0, the status of what the signal interrupted
  if [[ -z $INTERRUPTED_AT ]]; then
    INTERRUPTED_AT=$now
  elif ((now - INTERRUPTED_AT >= 1000000)); then
    "$WHEN_INSISTED" "$2"
  fi
}

# pause SECONDS
pause() {
  if [[ -z $PAUSE ]]; then exec {PAUSE}<> <(:); fi
  read -rt "$1" -u "$PAUSE" _ || true
}

# pass_on NAME: to the child that we wait for; without one there is nothing to save.
pass_on() {
  case $CHILD in
    '') exit "$STOPPED_BY" ;;
    begins) ;;  # child() sees to it
    *) kill -s "$1" "$CHILD" 2>/dev/null || true ;;
  esac
}

# The child counts for itself, and may have heard the first one a little later than we did.
insist() {
  pass_on "$1"
  pause 0.1
  pass_on "$1"
}

# child COMMAND...: runs it and returns its code. What tells us to end is passed on to it, and when
# it has left we end, too. Should we be killed, the kernel tells it to end (pdeathsig).
child() {
  local code=0
  keep_told pass_on insist
  CHILD=begins
  "${LISTENING[@]}" setpriv --pdeathsig TERM "$@" <&0 &
  CHILD=$!
  if [[ -n $STOPPED_BY ]]; then pass_on TERM; fi
  await_process "$CHILD" || code=$?
  CHILD=''
  if [[ -n $STOPPED_BY ]]; then exit "$(end_code "$code")"; fi
  return "$code"
}

# await_process PID: returns its code. A wait that a signal cut short has the signal's code, not the
# process's, even if that has ended meanwhile: so it is asked again.
await_process() {
  local code
  while true; do
    INTERRUPTED='' code=0
    { wait "$1" || code=$?; } 2>/dev/null
    if [[ -z $INTERRUPTED ]]; then return "$code"; fi
  done
}

# end_code CODE: with which code to end after a child that was told to stop has ended with CODE: that
# of the signal that we were told by, unless the child met an error.
end_code() {
  case $1 in
    0 | "$EXIT_UNAVAILABLE" | "$EXIT_TRY_AGAIN" | 129 | 130 | 143) printf '%d' "$STOPPED_BY" ;;
    *) printf '%d' "$1" ;;
  esac
}

# make_temp_folder: sets TEMP_FOLDER, removed at the end. Sockets live in it: their path holds 107
# bytes and is a word in files of endpoints, where # begins a key. A $TMPDIR that is long, relative
# or has other signs in it is not used.
# shellcheck disable=SC2034  # the recipes use TEMP_FOLDER
make_temp_folder() {
  local parent=${TMPDIR:-/tmp}
  if ((${#parent} > 60)) || [[ $parent != /* || $parent == *[!A-Za-z0-9._/+-]* ]]; then parent=/tmp; fi
  TEMP_FOLDER=$(mktemp -d "$parent/ptrain-XXXXXX") ||
    die "$EXIT_IO" "no temporary folder can be made in $parent" "set TMPDIR to a folder you can write to"
  on_exit "rm -rf $(printf %q "$TEMP_FOLDER")"
}

# --- this machine ---

FILESYSTEM=''  # what is before /proc and /sys, in tests

# cgroup_limits CONTROLLER UNIFIED OLD: the files that limit this process, a line each: those of its
# control group, and of all that it is nested in as far as they are mounted. UNIFIED is a file's name
# in the unified hierarchy, OLD in the old one.
cgroup_limits() {
  local controller=$1 point shown kind controllers group folder file
  while read -r kind point shown; do
    while IFS=: read -r _ controllers group; do
      if [[ $kind == unified ]]; then
        if [[ -n $controllers ]]; then continue; fi
        file=$2
      else
        if [[ ,$controllers, != *,$controller,* ]]; then continue; fi
        file=$3
      fi
      folder=${group#"${shown%/}"} folder=${folder%/}
      if [[ $folder != /* || $folder == /..* ]]; then folder=''; fi
      while true; do
        cat "$FILESYSTEM$point$folder/$file" 2>/dev/null || true
        if [[ -z $folder ]]; then break; fi
        folder=${folder%/*}
      done
    done <"$FILESYSTEM/proc/self/cgroup"
  done < <(awk -v controller="$controller" '{
      for (i = 7; i <= NF && $i != "-"; i++);
      if ($(i + 1) == "cgroup2") print "unified", $5, $4
      if ($(i + 1) == "cgroup" && index("," $(i + 3) ",", "," controller ",")) print "old", $5, $4
    }' "$FILESYSTEM/proc/self/mountinfo")
} 2>/dev/null

# As many as may run at once: what the affinity or a container's quota permits, a part of one counts
# as one. ptrain-stage counts alike (libcommon/os/share_of_machine.h); this is for before it is built.
cores() {
  {
    cgroup_limits cpu cpu.max none
    paste -d ' ' <(cgroup_limits cpu none cpu.cfs_quota_us) <(cgroup_limits cpu none cpu.cfs_period_us)
  } | awk -v cores="$(nproc)" '
    $1 ~ /^[0-9]+$/ && $1 > 0 && $2 > 0 { share = int(($1 + $2 - 1) / $2); if (share < cores) cores = share }
    END { printf "%d", cores }'
}

# What memory there is: what the machine has available, or a container's limit where that is less.
memory_mib() {
  {
    awk '/^MemAvailable/ { printf "%.0f\n", $2 * 1024 }' "$FILESYSTEM/proc/meminfo"
    cgroup_limits memory memory.max memory.limit_in_bytes
  } | awk '/^[0-9]/ && (least == "" || $1 < least) { least = $1 }
    END { printf "%d", least / 1048576 }'
}

# Compiling one source takes up to 2 GiB.
build_jobs() {
  local jobs most
  jobs=$(($(memory_mib) / 2048)) most=$(cores)
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
# exists keeps its configuration.
build_programs() {
  local log=$1
  shift
  if [[ ! -f $ROOT/build/release/build.ninja ]] &&
    ! (cd "$ROOT" && cmake --preset release -DPTRAIN_TESTS=OFF -DPTRAIN_BENCH=OFF) >"$log" 2>&1; then
    build_failed "$log"
  fi
  build_in "$ROOT/build/release" "$log" --target "$@"
}

# build_in FOLDER LOG [OPTION]...: what is configured there. On a terminal ninja shows its one line;
# elsewhere the words go to LOG.
build_in() {
  local log=$2 code=0
  local -a build=(child cmake --build "$1" -j "$(build_jobs)" "${@:3}")
  if [[ -t 2 ]] && ((${#QUIET[@]} == 0)); then "${build[@]}" >&2 || code=$?; else "${build[@]}" >>"$log" 2>&1 || code=$?; fi
  if ((code != 0)); then build_failed "$log"; fi
}

build_failed() {  # build_failed LOG
  if [[ -s $1 ]]; then tail -n 30 "$1" >&2; fi
  die "$EXIT_IO" "the build failed (see above, and $1)"
}

# print_file FILE: a result, on stdout. One that cannot be written is an error; where its reader has
# gone, nobody misses it.
print_file() {
  local code=0
  cat -- "$1" || code=$?
  if ((code == 141)); then exit "$code"; fi
  if ((code != 0)); then die "$EXIT_IO" "$1 cannot be written to standard output"; fi
}

# json_field FILE KEY: one field of the last JSON object in FILE, empty where it has none.
json_field() { jq -rs --arg key "$2" 'last | .[$key] // empty' "$1"; }

# torch_of_python PYTHON: the folder of its torch, which need not be loaded for that: loading takes
# seconds. One of that name where we are is not its own.
torch_of_python() {
  "$1" -c '
import importlib.util, sys
sys.path = [path for path in sys.path if path]
spec = importlib.util.find_spec("torch")
if not spec or not spec.submodule_search_locations: sys.exit(1)
print(list(spec.submodule_search_locations)[0])' 2>/dev/null
}

# --- a run that goes on ---

readonly FIRST_STEPS=20  # that foretell the rest: some seconds of the quickstart

# last_line FILE, where it is and has one
last_line() { tail -n 1 "$1" 2>/dev/null || true; }

# foretell METRICS STEPS FORMER: once a run that is about to write METRICS, of STEPS steps, has done
# some, prints how many seconds the rest will take: the median of the first steps times those that
# are left, so that a slow moment counts for nothing. FORMER is the last line of METRICS before: a
# run that goes on keeps what it had said, and its first steps are those after that has changed.
foretell() {
  local begun=0
  while [[ $(last_line "$1") == "$3" ]]; do foretell_later || return; done
  if [[ -n $3 ]]; then begun=$(jq -rn '[inputs.step // empty] | max // 0' "$1" 2>/dev/null) || begun=0; fi
  until jq -ren --argjson begun "${begun:-0}" --argjson steps "$2" --argjson first "$FIRST_STEPS" '
      [inputs | select(.kind == "step" and .step > $begun)] |
      if length < $first then empty
      else (.[:$first] | map(.step_s) | sort | .[($first / 2 | floor)]) * ($steps - .[-1].step) | ceil
      end' "$1" 2>/dev/null; do
    foretell_later || return
  done
}

# Not for a recipe that has ended: who asks in the background is ended with it, and we are not.
foretell_later() {
  sleep 0.5
  kill -0 $$ 2>/dev/null
}
