#!/usr/bin/env bash
# A job over hosts that nobody has measured yet: measures them, plans the job, and trains by the plan.
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=job_keeper.bash
. "$(dirname "${BASH_SOURCE[0]}")/job_keeper.bash"
# shellcheck source=fleet.bash
. "$(dirname "${BASH_SOURCE[0]}")/fleet.bash"

readonly OFFER_S=60  # for a host to say that its links can be measured

usage() {
  cat <<'TEXT'
usage: probe-then-train.sh --hosts FILE --job FILE --ticket FILE --out FOLDER [--plan-only]
                           [--seconds S] [--allow-micro N]... [--allow-forward CODEC]...
                           [--allow-backward CODEC]... [--bin FOLDER] [--ssh COMMAND]
                           [--set KEY=VALUE]... [-- ARGUMENT...]

Has every host of a file (as for ssh.sh, without cells) measure over ssh how fast it computes the
job, then the links between all of them as the job would use them, through the ticket's relays or
past them; plans which hosts should hold which layers; and hands the plan to ssh.sh. In FOLDER lie
compute.jsonl, links.json and plan.json (ptrain-plan(5)) beside what ssh.sh leaves there.

  --hosts FILE     who could take part, two or more: [USER@]HOST [bin=FOLDER] [device=DEVICE] [name=NAME] ...
  --job FILE       the job, see ptrain-job(5)
  --ticket FILE    of a run, by which the hosts meet
  --out FOLDER     here; made where it does not exist
  --plan-only      trains nothing
  --seconds S      for each host to measure how fast it computes (default 10)
  --allow-micro N  the hosts measure with this batch.micro, too, and the plan may choose it
  --allow-forward CODEC, --allow-backward CODEC
                   the plan may choose this wire.forward, or wire.backward; each of these may be
                   given again
  --bin FOLDER     of the programs on the hosts (default: they are on PATH there)
  --ssh COMMAND    with options that ssh needs: 'ssh -p 2222 -i key'
  --set KEY=VALUE  another value for one key of the job; may be given again
  -q, --quiet      say nothing but errors
  -- ARGUMENT...   for ssh.sh, as in -- --ship-data

Ends as ssh.sh does; with 1 where no plan is possible, 69 where a host cannot be reached.

Example:
  printf '%s\n' one two three >hosts
  ./recipes/probe-then-train.sh --hosts hosts --job job.toml --ticket alice.ticket --out out/first -- --ship-data
TEXT
}

HOSTS='' BIN='' TICKET='' PLAN_ONLY=no SECONDS_EACH=10
SSH=(ssh) SSH_WORDS=''
SSH_OPTIONS=(-T -x -o BatchMode=yes -o ConnectTimeout=15 -o ServerAliveInterval=15 -o ServerAliveCountMax=4)
MICROS=()   # to measure with, and
ALLOWED=()  # for the plan to choose from
FOR_SSH_SH=()
CALLED=()  # what the plan calls each of NAMES

parse_options() {
  while (($#)); do
    TAKEN=2
    case $1 in
      --hosts) need_value "$@"; HOSTS=$2 ;;
      --ticket) need_value "$@"; TICKET=$2 ;;
      --plan-only) PLAN_ONLY=yes TAKEN=1 ;;
      --seconds) need_value "$@"; need_count "$1" "$2" 1 3600; SECONDS_EACH=$2 ;;
      --allow-micro)
        need_value "$@"
        need_count "$1" "$2" 1 65536
        MICROS+=(--micro "$2") ALLOWED+=("$1" "$2")
        ;;
      --allow-forward | --allow-backward) need_value "$@"; ALLOWED+=("$1" "$2") ;;
      --bin) need_value "$@"; BIN=$2 ;;
      --ssh) need_value "$@"; SSH_WORDS=$2; read -ra SSH <<<"$2" ;;
      --) FOR_SSH_SH=("${@:2}"); return ;;
      --job | --out | --set | -q | --quiet | -h | --help) parse_option "$@" ;;
      *) die_usage "unknown argument: $1" ;;
    esac
    shift "$TAKEN"
  done
}

check_needs() {
  if [[ -z $HOSTS || -z $JOB || -z $OUT || -z $TICKET ]]; then
    die_usage "--hosts, --job, --ticket and --out are needed"
  fi
  local file
  for file in "$HOSTS" "$JOB" "$TICKET"; do
    if [[ ! -r $file ]]; then die "$EXIT_IO" "$file cannot be read"; fi
  done
}

# Sets NAMES, CALLED, BINS and HOST_DEVICES, a line of the file each. The rest is for ssh.sh.
read_candidates() {
  local line word called
  local -a words=()
  while IFS= read -r line || [[ -n $line ]]; do
    read -ra words <<<"${line%%#*}"
    if ((${#words[@]} == 0)); then continue; fi
    called=$(name_in_plan "${words[0]}")
    NAMES+=("${words[0]}") BINS+=("$BIN") HOST_DEVICES+=('')
    for word in "${words[@]:1}"; do
      case $word in
        bin=?*) BINS[-1]=${word#bin=} ;;
        device=?*) HOST_DEVICES[-1]=${word#device=} ;;
        name=?*) called=${word#name=} ;;
      esac
    done
    if ! [[ $called =~ ^[a-z0-9-]{1,32}$ ]]; then
      die_usage "$HOSTS: name=$called: 1 to 32 small letters, digits and -"
    fi
    if [[ " ${CALLED[*]} " == *" $called "* ]]; then
      die_usage "$HOSTS: two hosts are called $called in the plan: give one a name=NAME"
    fi
    CALLED+=("$called")
  done <"$HOSTS"
  if ((${#NAMES[@]} < 1)); then die_usage "$HOSTS names no host"; fi
  if ((${#NAMES[@]} < 2)); then
    die_usage "$HOSTS names one host: there are no links to measure, and nothing to plan; ssh.sh trains on it"
  fi
  HOSTNAMES=("${NAMES[@]}")
}

# What each host needs lies in $TEMP_FOLDER/ship.
prepare_measuring() {
  local digest
  digest=$(printf '%s:%s' "$HOSTNAME" "$OUT" | sha256sum)
  REMOTE=ptrain/probe-${digest:0:8}
  mkdir -p "$TEMP_FOLDER/ship"
  "$STAGE" job --job "$JOB" "${OVERRIDES[@]}" >"$TEMP_FOLDER/ship/job.toml" || exit
  (umask 077 && cat "$TICKET" >"$TEMP_FOLDER/ship/ticket")
  on_all_hosts bring_what_measuring_needs
}

bring_what_measuring_needs() {
  over_ssh "${NAMES[$1]}" prepare "$REMOTE" "${BINS[$1]}" probe </dev/null >/dev/null
  tar -c -C "$TEMP_FOLDER/ship" job.toml ticket | over_ssh "${NAMES[$1]}" receive "$REMOTE"
}

measure_compute() {  # measure_compute NUMBER
  local -a device=()
  if [[ -n ${HOST_DEVICES[$1]} ]]; then device=(--device "${HOST_DEVICES[$1]}"); fi
  over_ssh "${NAMES[$1]}" bench "$REMOTE" "${BINS[$1]}" "${CALLED[$1]}" --seconds "$SECONDS_EACH" \
    "${MICROS[@]}" "${device[@]}" </dev/null
}

OFFERS=()  # each to a host: it lasts as long as this shell, and no child of it, holds a pipe
HELD=''    # the pipe

end_offers() {
  local pid
  if [[ -z $HELD ]]; then return 0; fi
  exec {HELD}>&-
  HELD=''
  for pid in "${OFFERS[@]}"; do await_process "$pid" || true; done
}

offer_links() {
  local i deadline=$((SECONDS + OFFER_S))
  on_exit end_offers
  mkfifo "$TEMP_FOLDER/held"
  exec {HELD}<>"$TEMP_FOLDER/held"
  for ((i = 0; i < ${#NAMES[@]}; i++)); do
    over_ssh "${NAMES[i]}" offer "$REMOTE" "${BINS[i]}" "${CALLED[i]}" <"$TEMP_FOLDER/held" \
      >"$TEMP_FOLDER/offer-$i" 2>"$TEMP_FOLDER/offer-$i.said" {HELD}>&- &
    OFFERS+=($!)
  done
  for ((i = 0; i < ${#NAMES[@]}; i++)); do
    until [[ -s $TEMP_FOLDER/offer-$i ]]; do
      if has_ended "${OFFERS[i]}" || ((SECONDS >= deadline)); then
        die "$EXIT_UNAVAILABLE" "${NAMES[i]} does not let its links be measured: $(tail -n 3 "$TEMP_FOLDER/offer-$i.said")"
      fi
      pause 0.1
    done
  done
}

measure() {
  local i
  say "measuring how fast ${#NAMES[@]} hosts compute, for some $SECONDS_EACH s"
  on_all_hosts measure_compute
  for ((i = 0; i < ${#NAMES[@]}; i++)); do cat "$TEMP_FOLDER/host-$i.printed"; done >"$OUT/compute.jsonl"
  say "measuring their links"
  offer_links
  "$PROBE" matrix --ticket "$TICKET" --json "${CALLED[@]}" "${QUIET[@]}" >"$OUT/links.json" || exit
  end_offers
}

plan() {
  local -a asked=(--job "$JOB" "${OVERRIDES[@]}" --links "$OUT/links.json" --compute "$OUT/compute.jsonl"
    "${ALLOWED[@]}")
  "$PROBE" plan "${asked[@]}" --json >"$OUT/plan.json" || exit
  if ((${#QUIET[@]} == 0)); then "$PROBE" plan "${asked[@]}" >&2; fi
}

main() {
  parse_options "$@"
  check_needs
  read_candidates
  need_tool jq jq
  need_tool "${SSH[0]}" openssh-client
  STAGE=$(find_program ptrain-stage)
  PROBE=$(find_program ptrain-probe)
  make_temp_folder
  mkdir -p "$OUT" || die "$EXIT_IO" "folder $OUT cannot be made"
  prepare_measuring
  measure
  plan
  if [[ $PLAN_ONLY == yes ]]; then exit 0; fi
  local -a options=(--hosts "$HOSTS" --job "$JOB" --plan "$OUT/plan.json" --ticket "$TICKET" --out "$OUT" "${OVERRIDES[@]}")
  if [[ -n $BIN ]]; then options+=(--bin "$BIN"); fi
  if [[ -n $SSH_WORDS ]]; then options+=(--ssh "$SSH_WORDS"); fi
  child "$RECIPES/ssh.sh" "${options[@]}" "${QUIET[@]}" "${FOR_SSH_SH[@]}"
}

main "$@"
