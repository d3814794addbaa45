# shellcheck shell=bash
# What ssh.sh has each host do. It comes there as the standard input of `bash -s`, followed by a call
# of one of these functions and by what that function reads: nothing of it stays on the host but the
# files in the folder of the run. Folders are those of the host, relative to the person's home.
#
# ssh.sh runs no command line there: a host's own shell may be any.

set -euo pipefail
export LC_ALL=C
unset CDPATH GLOBIGNORE
cd

readonly LEAVE_S=15  # as pipeline.sh waits for a stage that was told to stop
readonly DRAIN_S=5   # for words that are still on their way when a stage has ended

fail_here() {  # fail_here CODE WORDS
  printf '%s\n' "$2" >&2
  exit "$1"
}

# program BIN NAME: in that folder, or on PATH where BIN is empty
program() {
  if [[ -z $1 ]]; then
    command -v "$2" || fail_here 69 "$2 is not on PATH here: name its folder with --bin, or bin= in the file of hosts"
  elif [[ -x $1/$2 ]]; then
    (cd "$1" && printf '%s/%s\n' "$PWD" "$2")
  else
    fail_here 69 "$1/$2 is no program here"
  fi
}

# prepare FOLDER BIN NAME...: makes the folder of the run, prints the public key of each process, a line
# "key NAME KEY", and what files there are, a line "file SIZE TIME PATH". NAMEs begin files.
prepare() {
  local folder=$1 stage name key
  stage=$(program "$2" ptrain-stage)
  shift 2
  umask 077
  mkdir -p "$folder/keys" "$folder/ckpt" || fail_here 74 "folder $folder cannot be made"
  for name in "$@"; do
    key=$("$stage" identity --key "$folder/keys/$name") || exit
    printf 'key %s %s\n' "$name" "$key"
  done
  cd "$folder"
  find data ckpt -name '.*' -prune -o -type f -printf 'file %s %Ts %p\n' 2>/dev/null || true
}

# receive FOLDER: the tar archive that follows
receive() {
  cd "$1"
  umask 077
  tar -x || fail_here 74 "files cannot be written in $1"
  exit 0  # what else is on standard input is no script
}

# bench FOLDER BIN NAME ARGUMENT...: what a plan is made from of this host, a line
bench() {
  local probe
  probe=$(program "$2" ptrain-probe)
  "$probe" compute --job "$1/job.toml" --host "$3" --json "${@:4}" </dev/null
}

# offer FOLDER BIN NAME: lets the others of the ticket measure the links to here, until standard input ends
offer() {
  local probe pid code=0
  probe=$(program "$2" ptrain-probe)
  setpriv --pdeathsig TERM "$probe" serve --ticket "$1/ticket" --key "$1/keys/probe" --name "$3" </dev/null &
  pid=$!
  # shellcheck disable=SC2064  # this one
  trap "kill -TERM $pid 2>/dev/null || true" TERM HUP INT
  while ! has_ended "$pid" && { read -rt 0.2 || (($? > 128)); }; do :; done
  kill -TERM "$pid" 2>/dev/null || true
  wait "$pid" || code=$?
  if ((code == 143)); then exit 0; fi
  exit "$code"
}

# newest FOLDER: the step of the newest whole checkpoint, if there is one
newest() {
  local manifest last=''
  for manifest in "$1"/ckpt/step-*/manifest.json; do
    if [[ -f $manifest ]]; then last=${manifest%/manifest.json}; fi
  done
  last=${last##*/step-}
  if [[ -n $last ]]; then printf '%d\n' "$((10#$last))"; fi
}

# deliver FOLDER PATH...: a tar archive of those paths in it that exist
deliver() {
  local path
  local -a found=()
  cd "$1"
  shift
  for path in "$@"; do
    if [[ -e $path ]]; then found+=("$path"); fi
  done
  tar -c -T /dev/null "${found[@]}"
}

has_ended() {  # has_ended PID: nobody has waited for a zombie yet
  local state
  { read -r _ _ state _ <"/proc/$1/stat"; } 2>/dev/null || return 0
  [[ $state == [ZX] ]]
}

# keep FOLDER NAME SILENCE PROCESSES BIN ARGUMENT...: runs ptrain-stage with these arguments until it
# ends, and ends with its code. Its standard output goes to ours, each line behind "o ", its metrics
# behind "m "; what it says goes to standard error. It writes all three to files, so that a connection
# that takes nothing more cannot hold it up. Each word on standard input shows that somebody is there:
# "stop" and "kill" end the process, and so do the end of standard input and SILENCE seconds without a
# word. PROCESSES is how many share this host.
keep() {
  local folder=$1 name=$2 silence=$3 processes=$4 stage pid word code heard=$SECONDS told='' alone='' here
  stage=$(program "$5" ptrain-stage)
  shift 5
  umask 077
  local said=$folder/$name.log printed=$folder/$name.out measured=$folder/$name.metrics.jsonl
  : >"$said" && : >"$printed" && touch "$folder/$name.begun"
  if [[ " $* " != *' --threads '* ]]; then
    here=$(($(nproc) / processes))
    export OMP_NUM_THREADS=$((here < 1 ? 1 : here))
  fi

  setpriv --pdeathsig TERM "$stage" "$@" --key "$folder/keys/$name" --metrics "$measured" \
    </dev/null >"$printed" 2>>"$said" &
  pid=$!
  trap : HUP INT PIPE
  trap 'kill -TERM "$pid" 2>/dev/null || true' TERM
  tail -n +1 -s 0.2 -f --pid="$pid" "$said" >&2 2>/dev/null &
  tail -n +1 -s 0.2 -f --pid="$pid" "$printed" 2>/dev/null | sed -u 's/^/o /' &
  follow_metrics "$measured" "$folder/$name.begun" "$pid" | sed -u 's/^/m /' &

  while ! has_ended "$pid"; do
    code=0 word=''
    if [[ -n $alone ]]; then sleep 0.2; else read -rt 0.2 word || code=$?; fi
    case $code:$word in
      0:stop) told=${told:-$SECONDS}; kill -TERM "$pid" 2>/dev/null || true ;;
      0:kill) kill -KILL "$pid" 2>/dev/null || true ;;
      0:?*) heard=$SECONDS ;;
      1:*) alone=yes ;;
    esac
    if [[ -z $told && ( -n $alone || $((SECONDS - heard)) -gt $silence ) ]]; then
      told=$SECONDS
      printf 'ssh.sh is gone: told to stop, after %d s without a word from there\n' $((SECONDS - heard)) >>"$said"
      kill -TERM "$pid" 2>/dev/null || true
    fi
    if [[ -n $told ]] && ((SECONDS - told >= LEAVE_S)); then kill -KILL "$pid" 2>/dev/null || true; fi
  done
  code=0
  { wait "$pid" || code=$?; } 2>/dev/null
  heard=$SECONDS
  while [[ -n $(jobs -pr) ]] && ((SECONDS - heard < DRAIN_S)); do sleep 0.1; done
  exit "$code"
}

# follow_metrics FILE BEGUN PID: prints FILE from when it is newer than BEGUN: what a run before this one
# had said stays where it is, until this one says with which of it it goes on.
follow_metrics() {
  until [[ $1 -nt $2 ]]; do
    if has_ended "$3"; then return; fi
    sleep 0.2
  done
  tail -n +1 -s 0.2 -F --pid="$3" "$1" 2>/dev/null
}
