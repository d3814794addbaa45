#!/usr/bin/env bash
# Sums over lanes between processes, against gloo and against what the lines carry, in the same run.
# shellcheck source=../../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../recipes/lib.sh"

readonly SCENARIO=$ROOT/tests/bench/allreduce_scenario.sh
readonly MEMBER=${PTRAIN_BIN:-$ROOT/build/release/bin}/../tests/bench_all_reduce
readonly PARTS=(equal unequal loopback)

usage() {
  cat <<'TEXT'
usage: allreduce.sh [--only PART]... [--mib N] [--members N] [--rate RATE] [--slow RATE] [--rounds N]
                    [--out FILE]

Measures one sum of so many MiB of float32, again and again; needs python3-torch and, but for loopback,
iperf3 and root. Prints a JSON object a part. Run it on a quiet machine. Parts:

  equal     every member on a host of its own (recipes/lab/lab.sh), whose line carries RATE each way.
            No sum of S bytes can be faster than 2 (n - 1) / n x S / iperf3's rate: each member has to
            send, and to get, its part of n - 1 chunks and n - 1 totals. The ratio says how much of this
            bound a sum reaches; int8 beside fp32, and gloo.
  unequal   the same, but the last member's line carries SLOW. Who owns the share f of the vector sends
            (1 - f) S of subtotals and (n - 1) f S of totals, and gets as much; so in time T a line of
            rate r can own f = (T r / S - 1) / (n - 2) at most, and the least T for which these shares
            reach 1 is max(2 (n - 1) S / (sum of the rates), S / slowest rate). The rates are those that
            iperf3 has measured (libcommon/reduce/chunking.h, bench_all_reduce --bound).
  loopback  2 and 4 processes on this machine, plain and encrypted, against gloo, which does not encrypt

  --mib N        default 64
  --members N    of equal and unequal, default 4
  --rate RATE    default 100mbit
  --slow RATE    default 20mbit
  --rounds N     of each sum, default 5
  --out FILE     the results there as well

Example:
  ./tests/bench/allreduce.sh --only loopback --mib 16 --rounds 3
TEXT
}

MIB=64 MEMBERS=4 RATE=100mbit SLOW=20mbit ROUNDS=5 OUT='' CHOSEN=()

parse_options() {
  while (($#)); do
    case $1 in
      --only)
        need_value "$@"
        [[ " ${PARTS[*]} " == *" $2 "* ]] || die_usage "--only $2: expected one of ${PARTS[*]}"
        CHOSEN+=("$2")
        shift
        ;;
      --mib) need_value "$@"; need_count "$1" "$2" 1 65536; MIB=$2; shift ;;
      --members) need_value "$@"; need_count "$1" "$2" 3 64; MEMBERS=$2; shift ;;
      --rate) need_value "$@"; RATE=$2; shift ;;
      --slow) need_value "$@"; SLOW=$2; shift ;;
      --rounds) need_value "$@"; need_count "$1" "$2" 1 1000; ROUNDS=$2; shift ;;
      --out) need_value "$@"; OUT=$2; shift ;;
      -h | --help) usage; exit 0 ;;
      *) die_usage "unknown argument: $1" ;;
    esac
    shift
  done
  if ((${#CHOSEN[@]} == 0)); then CHOSEN=("${PARTS[@]}"); fi
}

# in_laboratory LAST RUNS [OPTION...]: every line carries RATE, the last one LAST
in_laboratory() {
  local i
  local -a links=()
  for ((i = 1; i < MEMBERS; i++)); do links+=(--link "p$i=rate:$RATE"); done
  links+=(--link "p$MEMBERS=rate:$1")
  "$ROOT/recipes/lab/lab.sh" --hosts 0 --public "$MEMBERS" "${links[@]}" -- \
    "$SCENARIO" --members "$MEMBERS" --mib "$MIB" --rounds "$ROUNDS" --runs "$2" "${@:3}" | tee measured >&2
}

# What the parts have in common: medians by name, and whether all members had the same bits.
# shellcheck disable=SC2016  # jq's own
readonly FIGURES='
  def median: sort | (.[(length - 1) / 2 | floor] + .[length / 2 | floor]) / 2;
  (map(select(.name == "iperf3"))[0] // {}) as $line |
  (map(select(.seconds)) | map({key: .name, value: (.seconds | median)}) | from_entries) as $s |
  (map(select(.encoded_bytes)) | map({key: .name, value: .encoded_bytes}) | from_entries) as $bytes |
  (map(select(.encoded_bytes) | .same) | all) as $same |'

equal() {
  in_laboratory "$RATE" iperf3,gloo,fp32,int8
  jq -cs --argjson mib "$MIB" "$FIGURES"'
    ([$line.first_bits_per_s, $line.last_bits_per_s] | min) as $rate | map(.members // 0) as $m | ($m | max) as $n |
    ($bytes | map_values(2 * ($n - 1) / $n * . * 8 / $rate)) as $bound |
    {part: "equal", members: $n, mib: $mib, iperf3_bits_per_s: $rate, same_bits: $same, seconds: $s,
     of_bound: ($bound | with_entries(.value /= $s[.key])),
     gloo_of_bound: ($bound.fp32 / $s.gloo), of_gloo: ($s.gloo / $s.fp32),
     int8_faster: ($s.fp32 / $s.int8)}' measured
}

# The rates of a first run are those by which the second one splits the vector, and its bound.
unequal() {
  local rates bound
  in_laboratory "$SLOW" iperf3
  rates=$(jq -r --argjson n "$MEMBERS" '[range($n - 1) as $i | .first_bits_per_s / 1e6] +
    [.last_bits_per_s / 1e6] | map(tostring) | join(",")' measured)
  bound=$("$MEMBER" --bound --rates "$rates")
  in_laboratory "$SLOW" gloo,fp32,int8 --rates "$rates"
  jq -cs --argjson mib "$MIB" --arg rates "$rates" --argjson bound "$bound" "$FIGURES"'
    ($bytes | map_values($bound.s_per_byte * .)) as $best |
    {part: "unequal", mib: $mib, rates_mbit_per_s: $rates, shares: $bound.shares, same_bits: $same,
     seconds: $s, best_s: $best, of_best: ($best | with_entries(.value /= $s[.key])),
     of_gloo: ($s.gloo / $s.fp32)}' measured
}

loopback() {
  local members
  for members in 2 4; do
    "$SCENARIO" --members "$members" --mib "$MIB" --rounds "$ROUNDS" \
      --runs gloo,fp32,fp32+curve,gloo,fp32,fp32+curve | tee measured >&2
    jq -cs --argjson mib "$MIB" --argjson n "$members" '
      def median: sort | (.[(length - 1) / 2 | floor] + .[length / 2 | floor]) / 2;
      (map(select(.encoded_bytes) | .same) | all) as $same |
      (group_by(.name) | map({key: .[0].name, value: (map(.seconds) | add | median)}) | from_entries) as $s |
      {part: "loopback", members: $n, mib: $mib, same_bits: $same, seconds: $s,
       gb_per_s: ($s | map_values($mib * 1048576 / . / 1e9)), of_gloo: ($s.gloo / $s.fp32),
       curve_of_gloo: ($s.gloo / $s["fp32+curve"])}' measured
  done
}

main() {
  parse_options "$@"
  need_tool jq jq
  /usr/bin/python3 -c 'import torch' 2>/dev/null ||
    die "$EXIT_UNAVAILABLE" "no PyTorch to compare with" "apt-get install python3-torch"
  make_temp_folder
  if [[ -n $OUT ]]; then OUT=$(realpath "$OUT"); : >"$OUT"; fi
  cd "$TEMP_FOLDER"
  local part
  for part in "${CHOSEN[@]}"; do
    if [[ $part != loopback ]]; then need_tool iperf3 iperf3; fi
    "$part" | tee ${OUT:+-a "$OUT"}
  done
}

main "$@"
