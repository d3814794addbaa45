#!/usr/bin/env bash
# A worker that comes back: a stage, a holder or another program, started again for as long as that
# can help.
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<'TEXT'
usage: worker.sh [--most-pause S] [--tries N] -- COMMAND [ARGUMENT...]
       worker.sh --unit NAME [--most-pause S] [--tries N] -- COMMAND [ARGUMENT...]

Runs COMMAND, and again whenever it ends, until it is done (0) or another attempt cannot help. A
stage goes on from the newest checkpoint that all stages have, so each stage of a run under its own
worker.sh goes on however often one of them is killed, loses its network or is switched off.

  69, 75           another stage went away, was told to stop, or memory is short: again
  74, 70, SIGKILL  and other ends by signals: again, unless N in a row lived less than a minute
  1, 2, 65, 77     an error that another attempt repeats: ends with that code
  129, 130, 143    the program was told to end, and so does worker.sh

The first pause takes a second, each one after it twice as long, up to S; a program that has lived
for a minute, and for S, begins with a second again. SIGTERM, SIGINT and SIGHUP go to the program.

  --most-pause S  default 60
  --tries N       default 10
  --unit NAME     prints a unit of systemd instead, which does the same from here after each boot

Example:
  ./recipes/worker.sh -- ptrain-stage run --job job.toml --ticket alice.ticket --stages 3 --stage 0

As a service of your own, also while you are not logged in:
  ./recipes/worker.sh --unit alice -- ptrain-stage run --job job.toml --ticket alice.ticket \
    --stages 3 --stage 0 >~/.config/systemd/user/ptrain-alice.service
  systemctl --user enable --now ptrain-alice && loginctl enable-linger
TEXT
}

readonly SHORT_LIFE_S=60
MOST_PAUSE=60 TRIES=10 UNIT='' COMMAND=()

parse_options() {
  while (($#)); do
    case $1 in
      --most-pause) need_value "$@"; need_count "$1" "$2" 1 86400; MOST_PAUSE=$2; shift ;;
      --tries) need_value "$@"; need_count "$1" "$2" 1 1000000; TRIES=$2; shift ;;
      --unit)
        need_value "$@"
        [[ $2 =~ ^[A-Za-z0-9._-]+$ ]] || die_usage "--unit $2: expected letters, digits, dots and dashes"
        UNIT=$2
        shift
        ;;
      -h | --help) usage; exit 0 ;;
      --) shift; COMMAND=("$@"); break ;;
      *) die_usage "unknown argument: $1 (a command comes after --)" ;;
    esac
    shift
  done
  ((${#COMMAND[@]} > 0)) || die_usage "no command after --"
  local found
  found=$(type -P -- "${COMMAND[0]}") ||
    die "$EXIT_UNAVAILABLE" "${COMMAND[0]} is not there, or cannot be run" "give its path, or add its folder to PATH"
  COMMAND[0]=$(realpath -s -- "$found")
}

# --- a unit of systemd ---

# quoted WORD: as systemd reads it (systemd.syntax(7), systemd.service(5))
quoted() {
  local word=$1
  word=${word//\\/\\\\} word=${word//\"/\\\"} word=${word//%/%%} word=${word//\$/\$\$}
  word=${word//$'\n'/\\n} word=${word//$'\t'/\\t}
  printf '"%s"' "$word"
}

print_unit() {
  local word line folder=${PWD//%/%%}
  line=$(quoted "$RECIPES/worker.sh")
  for word in --most-pause "$MOST_PAUSE" --tries "$TRIES" -- "${COMMAND[@]}"; do line+=" $(quoted "$word")"; done
  cat <<UNIT
[Unit]
Description=ptrain worker $UNIT
Documentation=man:ptrain-recipes(7)

[Service]
WorkingDirectory=$folder
ExecStart=$line
# The program writes a checkpoint before it goes.
KillMode=mixed
TimeoutStopSec=180
SuccessExitStatus=129 130 143
# worker.sh itself was killed; its own codes mean that another attempt would not help.
Restart=on-failure
RestartSec=10
RestartPreventExitStatus=1 2 65 69 70 74 75 77

[Install]
WantedBy=default.target
UNIT
}

# --- again and again ---

# meaning_of CODE: in words
meaning_of() {
  case $1 in
    "$EXIT_UNAVAILABLE") printf '69: somebody that it needs is not there' ;;
    "$EXIT_IO") printf '74: the system refused to read, write or bind' ;;
    "$EXIT_TRY_AGAIN") printf '75: it asks to be started later' ;;
    *) if (($1 > 128)); then printf 'SIG%s' "$(kill -l $(($1 - 128)))"; else printf '%d' "$1"; fi ;;
  esac
}

# can_help CODE: whether to start it again. Of the others' absence it is not to blame, however often.
SHORT_LIVES=0
can_help() {
  local code=$1 lived=$2
  case $code in
    "$EXIT_UNAVAILABLE" | "$EXIT_TRY_AGAIN") return 0 ;;
    129 | 130 | 143 | 141) return 1 ;;
    70 | "$EXIT_IO") ;;
    *) if ((code <= 128)); then return 1; fi ;;
  esac
  if ((lived >= SHORT_LIFE_S)); then SHORT_LIVES=0; else SHORT_LIVES=$((SHORT_LIVES + 1)); fi
  if ((SHORT_LIVES < TRIES)); then return 0; fi
  error "it has ended $SHORT_LIVES times in a row within $SHORT_LIFE_S s" "what it said is above; --tries allows more"
  return 1
}

again_and_again() {
  local code begun lived rest=1
  while true; do
    code=0 begun=$SECONDS
    child "${COMMAND[@]}" || code=$?
    if ((code == 0)); then return; fi
    lived=$((SECONDS - begun))
    can_help "$code" "$lived" || exit "$code"
    if ((lived >= SHORT_LIFE_S && lived >= MOST_PAUSE)); then rest=1; fi
    if ((rest > MOST_PAUSE)); then rest=$MOST_PAUSE; fi
    say "$(printf '%(%F %T)T' -1): ended with $(meaning_of "$code"), after $(duration "$lived"); again in $rest s"
    pause "$rest"
    rest=$((rest * 2))
  done
}

parse_options "$@"
if [[ -n $UNIT ]]; then print_unit; else again_and_again; fi
