#!/usr/bin/env bash
# One place of tests/bench/allreduce.sh: sums of all members there, by gloo and by ours, in turns.
# shellcheck source=../../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../recipes/lib.sh"

readonly MEMBER=${PTRAIN_BIN:-$ROOT/build/release/bin}/../tests/bench_all_reduce
readonly PEER=$ROOT/tests/bench/all_reduce_gloo_peer.py
readonly PYTHON=/usr/bin/python3 FIRST_PORT=7300 GLOO_PORT=7400 IPERF_PORT=5201
readonly READY_TIMEOUT_S=30 IPERF_S=5

usage() {
  cat <<'TEXT'
usage: allreduce_scenario.sh --members N [--mib N] [--rounds N] [--runs LIST] [--rates LIST]

On this machine's loopback, or inside the laboratory (recipes/lab/lab.sh --hosts 0 --public N), a member
on each public host. Prints a JSON object a line: iperf3's rate to and from the last host, from and to
the first, and the seconds of every sum, those of the slowest member. RUNS: iperf3, gloo, and codecs,
with +curve where sockets shall be encrypted, which they always are in the laboratory. LISTs are
separated by commas.

  --rates LIST   Mbit/s of the members' lines, by which the vector is split; default: equal parts
TEXT
}

MEMBERS='' MIB=64 ROUNDS=5 RUNS=gloo,fp32 RATES=''

parse_options() {
  while (($#)); do
    case $1 in
      --members) need_value "$@"; need_count "$1" "$2" 2 64; MEMBERS=$2; shift ;;
      --mib) need_value "$@"; need_count "$1" "$2" 1 65536; MIB=$2; shift ;;
      --rounds) need_value "$@"; need_count "$1" "$2" 1 1000; ROUNDS=$2; shift ;;
      --runs) need_value "$@"; RUNS=$2; shift ;;
      --rates) need_value "$@"; RATES=$2; shift ;;
      -h | --help) usage; exit 0 ;;
      *) die_usage "unknown argument: $1" ;;
    esac
    shift
  done
  [[ -n $MEMBERS ]] || die_usage "--members is needed"
}

in_laboratory() { [[ -e /run/netns/p1 ]]; }

host_of() {  # host_of MEMBER: the address where it listens
  if in_laboratory; then address "p$(($1 + 1))"; else printf '127.0.0.1'; fi
}

at() {  # at MEMBER COMMAND...: on its host
  if in_laboratory; then on "p$(($1 + 1))" "${@:2}"; else "${@:2}"; fi
}

# all_members NAME COMMAND...: one of each member, with its number as {}; prints what all of them print
all_members() {
  local name=$1 member code=0
  local -a processes=()
  shift
  for ((member = 0; member < MEMBERS; member++)); do
    at "$member" "${@//\{\}/$member}" >"$name.$member" 2>"$name.$member.log" &
    processes+=($!)
  done
  for member in "${processes[@]}"; do wait "$member" || code=$?; done
  if ((code != 0)); then
    cat "$name".*.log >&2
    die "$EXIT_UNAVAILABLE" "the sum by $name failed"
  fi
  for ((member = 0; member < MEMBERS; member++)); do cat "$name.$member"; done
}

# Of each round the slowest member's; all have begun together.
slowest() {
  jq -cs --arg name "$1" '{name: $name, members: length, encoded_bytes: .[0].encoded_bytes,
    seconds: (map(.seconds) | transpose | map(max)), idle_s: (map(.idle_s // []) | transpose | map(min)),
    same: (map(.sha256) | unique | length == 1)}'
}

gloo() {
  local environment=(env OMP_NUM_THREADS=1)
  if in_laboratory; then environment+=(GLOO_SOCKET_IFNAME=eth0); fi
  all_members gloo "${environment[@]}" "$PYTHON" "$PEER" --member {} --members "$MEMBERS" \
    --meet "tcp://$(host_of 0):$GLOO_PORT" --mib "$MIB" --rounds "$ROUNDS" | slowest gloo
}

ours() {  # ours CODEC[+curve]
  local member line
  local -a key=() rates=()
  if in_laboratory || [[ $1 == *+curve ]]; then key=(--key key.{}); fi
  if [[ -n $RATES ]]; then rates=(--rates "$RATES"); fi
  for ((member = 0; member < MEMBERS; member++)); do
    line=tcp://$(host_of "$member"):$((FIRST_PORT + member))
    if ((${#key[@]})); then line+="#$("$MEMBER" --print-key --key "key.$member" | jq -r .key)"; fi
    printf '%s\n' "$line"
  done >endpoints
  all_members "$1" "$MEMBER" --member {} --endpoints endpoints --mib "$MIB" --rounds "$ROUNDS" \
    --codec "${1%+curve}" "${key[@]}" "${rates[@]}" | slowest "$1"
}

iperf() {  # iperf FROM TO: bits/s that arrive
  local server deadline=$((SECONDS + READY_TIMEOUT_S))
  at "$2" iperf3 --server --one-off --port "$IPERF_PORT" >/dev/null 2>&1 &
  server=$!
  until [[ -n $(at "$2" ss -Hltn "sport = :$IPERF_PORT") ]]; do
    if ! kill -0 "$server" 2>/dev/null || ((SECONDS >= deadline)); then
      die "$EXIT_UNAVAILABLE" "iperf3 did not start"
    fi
    sleep 0.05
  done
  at "$1" iperf3 --client "$(host_of "$2")" --port "$IPERF_PORT" --time "$IPERF_S" --json >iperf.json ||
    die "$EXIT_UNAVAILABLE" "iperf3: $(jq -r .error iperf.json)"
  wait "$server" || true
  jq .end.sum_received.bits_per_second iperf.json
}

lines() {
  local last=$((MEMBERS - 1)) first second to from
  first=$(iperf 0 1) second=$(iperf 1 0) to=$(iperf 0 "$last") from=$(iperf "$last" 0)
  jq -nc --argjson first "$first" --argjson second "$second" --argjson to "$to" --argjson from "$from" \
    '{name: "iperf3", first_bits_per_s: ([$first, $second] | min), last_bits_per_s: ([$to, $from] | min)}'
}

main() {
  parse_options "$@"
  make_temp_folder
  cd "$TEMP_FOLDER"
  local run
  for run in ${RUNS//,/ }; do
    case $run in
      iperf3) lines ;;
      gloo) gloo ;;
      *) ours "$run" ;;
    esac
  done
}

main "$@"
