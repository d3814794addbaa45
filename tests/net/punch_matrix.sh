#!/usr/bin/env bash
# Which pairs of NATs are passed: ptrain-punch dial between hosts behind routers of every class, over
# TCP, with a relay that introduces them. Prints a table.
# shellcheck source=../../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../recipes/lib.sh"

readonly CLASSES=(open full-cone address-restricted port-restricted symmetric carrier no-udp)
readonly CONTROL_PORT=7100 DATA_PORT=7101

usage() {
  cat <<'TEXT'
usage: punch_matrix.sh [--pairs A:B[,A:B]...] [--trials N] [--mapped]

Behind each router of the first class of a pair listens one, behind one of the second class another
dials, N times. Ends with 1 where a pair is not as it should be: direct in all trials, or, where that
needs a guess, through the relay in all of them.

  --pairs A:B,...  of open, full-cone, address-restricted, port-restricted, symmetric, carrier, no-udp;
                   default all 28
  --trials N       of each pair, default 2
  --mapped         the router of who listens maps ports, and ptrain-punch map asks it to

Example:
  tests/net/punch_matrix.sh --pairs port-restricted:port-restricted,symmetric:symmetric
TEXT
}

PAIRS=() TRIALS=2 INSIDE='' MAPPED=''

all_pairs() {
  local i j
  for ((i = 0; i < ${#CLASSES[@]}; i++)); do
    for ((j = i; j < ${#CLASSES[@]}; j++)); do PAIRS+=("${CLASSES[i]}:${CLASSES[j]}"); done
  done
}

need_pair() {
  local class
  for class in "${1%%:*}" "${1#*:}"; do
    [[ $1 == *:* && " ${CLASSES[*]} " == *" $class "* ]] ||
      die_usage "--pairs $1: expected A:B of ${CLASSES[*]}"
  done
}

parse_options() {
  local pair
  while (($#)); do
    case $1 in
      --pairs) need_value "$@"; IFS=, read -ra PAIRS <<<"$2"; shift ;;
      --trials) need_value "$@"; need_count "$1" "$2" 1 1000; TRIALS=$2; shift ;;
      --mapped) MAPPED=yes ;;
      --inside) INSIDE=yes ;;  # it calls itself in the laboratory
      -h | --help) usage; exit 0 ;;
      *) die_usage "unknown argument: $1" ;;
    esac
    shift
  done
  if ((${#PAIRS[@]} == 0)); then all_pairs; fi
  for pair in "${PAIRS[@]}"; do need_pair "$pair"; done
}

# Of TCP a router without UDP is a port-restricted one, and so is a carrier's behind a home's.
restricts_ports() { [[ $1 == port-restricted || $1 == carrier || $1 == no-udp ]]; }

# expectation A B: what the pair is to be, and why; words for the table
expectation() {
  local a=$1 b=$2
  if [[ $MAPPED && $a != open && $a != carrier ]]; then
    echo "direct: a port is mapped"
  elif [[ $a == open || $b == open ]]; then
    echo "direct: one side has no NAT"
  elif [[ $a == symmetric && $b == symmetric ]]; then
    echo "relayed: both outer ports have to be guessed"
  elif [[ $a == symmetric ]] && restricts_ports "$b" || [[ $b == symmetric ]] && restricts_ports "$a"; then
    echo "relayed: one outer port has to be guessed, and the other side lets in no other"
  elif [[ $a == symmetric || $b == symmetric ]]; then
    echo "direct: the other side lets in ports that it has not sent anything"
  else
    echo "direct: outer ports stay the same"
  fi
}

# host_of SIDE CLASS: who listens is h1 to h7, who dials h8 to h14
host_of() {
  local i
  for ((i = 0; i < ${#CLASSES[@]}; i++)); do
    if [[ ${CLASSES[i]} == "$2" ]]; then break; fi
  done
  printf 'h%d' $((i + 1 + ($1 == 2 ? ${#CLASSES[@]} : 0)))
}

laboratory() {
  local i extra
  local -a nats=()
  for ((i = 0; i < ${#CLASSES[@]}; i++)); do
    extra=''
    if [[ $MAPPED && ${CLASSES[i]} != open ]]; then extra=,port-mapping; fi
    nats+=(--nat "h$((i + 1))=${CLASSES[i]}$extra" --nat "h$((i + 1 + ${#CLASSES[@]}))=${CLASSES[i]}")
  done
  exec "$RECIPES/lab/lab.sh" --hosts $((2 * ${#CLASSES[@]})) --public 1 "${nats[@]}" -- \
    "$ROOT/tests/net/punch_matrix.sh" --inside "$@"
}

await_line() {  # await_line FILE
  local i
  for ((i = 0; i < 1200; i++)); do
    if [[ -s $1 ]]; then return; fi
    sleep 0.05
  done
  cat "$1.log" >&2
  die "$EXIT_UNAVAILABLE" "nothing came to $1"
}

start_relay() {
  on p1 ptrain-relay serve --state relay --listen "tcp://0.0.0.0:$CONTROL_PORT" --data "$DATA_PORT" \
    --public-host "$(address p1)" >word 2>word.log &
  await_line word
  ptrain-relay ticket new --run punch --relay "$(head -n 1 word)" --out ticket >/dev/null
}

# listener CLASS: its name is its class; once for all pairs
declare -A LISTENS=()
listener() {
  local host
  local -a map=()
  if [[ ${LISTENS[$1]-} ]]; then return; fi
  host=$(host_of 1 "$1")
  if [[ $MAPPED && $1 != open && $1 != carrier ]]; then
    map=(env "XDG_STATE_HOME=$PWD/state-$host" ptrain-punch map --quiet --tcp 7200 --tcp 7201 --)
  fi
  on "$host" "${map[@]}" ptrain-punch listen --ticket ticket --key "$host.key" --name "$1" \
    >"listen-$1" 2>"listen-$1.log" &
  await_line "listen-$1"
  LISTENS[$1]=yes
}

# trial A B: sets ROUTE and TOOK_MS, from the start of the program
trial() {
  local begin=${EPOCHREALTIME/./} code=0 host timeout=20
  host=$(host_of 2 "$2")
  # Where no direct path can be, none comes later either.
  if [[ $(expectation "$1" "$2") == relayed* ]]; then timeout=7; fi
  on "$host" ptrain-punch dial "$1" --ticket ticket --key "$host.key" --json --explain \
    --timeout "$timeout" >found 2>found.log || code=$?
  TOOK_MS=$(((${EPOCHREALTIME/./} - begin) / 1000))
  ROUTE=$(jq -r 'select(.kind == "path") | .route' found)
  case $code in
    0) ;;
    1) [[ $ROUTE == relayed ]] ;;
    69) ROUTE=nothing ;;
    *) ROUTE="exit $code" ;;
  esac
}

# after_ms: since both sides began, of the rung that worked in the last trial; empty where none did
after_ms() {
  jq -rs 'map(select(.kind == "rung" and .outcome == "connected" and .after_s) | .after_s * 1000 | round) |
    min // empty' found
}

median() {  # median NUMBER...
  printf '%s\n' "$@" | sort -n | awk '{ v[NR] = $1 } END { if (NR) print v[int((NR + 1) / 2)]; else print "-" }'
}

main() {
  local -a arguments=("$@") times meetings
  local pair a b i wanted direct relayed other meeting code=0
  parse_options "$@"
  if [[ -z $INSIDE ]]; then laboratory "${arguments[@]}"; fi
  PATH=$(dirname "$(find_program ptrain-punch)"):$PATH
  make_temp_folder
  cd "$TEMP_FOLDER" || exit
  start_relay
  printf '%-38s %6s %7s %6s %9s %9s  %s\n' pair direct relayed other median_ms punch_ms expected
  for pair in "${PAIRS[@]}"; do
    a=${pair%%:*} b=${pair#*:} direct=0 relayed=0 other=0 times=() meetings=()
    listener "$a"
    for ((i = 0; i < TRIALS; i++)); do
      trial "$a" "$b"
      times+=("$TOOK_MS")
      case $ROUTE in
        direct | punched) direct=$((direct + 1)) ;;
        relayed) relayed=$((relayed + 1)) ;;
        *) other=$((other + 1)) ;;
      esac
      meeting=$(after_ms)
      if [[ $meeting ]]; then meetings+=("$meeting"); fi
    done
    wanted=$(expectation "$a" "$b")
    printf '%-38s %6d %7d %6d %9s %9s  %s\n' "$pair" "$direct" "$relayed" "$other" \
      "$(median "${times[@]}")" "$(median "${meetings[@]}")" "$wanted"
    case $wanted in
      direct*) ((direct == TRIALS)) || code=1 ;;
      *) ((relayed == TRIALS)) || code=1 ;;
    esac
    if ((code)) && [[ -z ${SHOWN-} ]]; then
      SHOWN=yes
      cat found found.log "listen-$a.log" >&2
    fi
  done
  exit "$code"
}

main "$@"
