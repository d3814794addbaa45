#!/usr/bin/env bash
# What the network core has to show: sessions beside libzmq, many peers of one process, and far links
# that pause.
# shellcheck source=../../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../recipes/lib.sh"
# shellcheck source=bounds.bash
. "$ROOT/tests/bench/bounds.bash"

readonly BENCHES=$ROOT/build/release/tests

usage() {
  cat <<'TEXT'
usage: network.sh [--check] [--out FILE]

Runs bench_session (a session against libzmq's sockets, in one process), bench_crowd (128 and 600
connections that say nothing, and 64 peers that send and are never read) and burst.sh (a message of
1 MiB every 400 ms over 80 Mbit/s and 100 ms; needs root). Prints what each prints, a JSON object a
line. Run it on a quiet machine.

  --check     print a line of the Test Anything Protocol for each bound instead: a session has 0.95
              of libzmq's rate over CURVE, and takes 1.1 times its processor time at most; 128 idle
              connections take less than 2 % of a core; what 64 peers send stays within what was
              granted to them; a message over the far link arrives within 1.3 times one way + size /
              rate, direct and relayed. Ends with 1 where one does not hold
  --out FILE  the objects there as well

Example:
  sudo ./tests/bench/network.sh --check
TEXT
}

CHECK=no OUT=''

parse_options() {
  while (($#)); do
    case $1 in
      --check) CHECK=yes ;;
      --out) need_value "$@"; OUT=$(realpath -m "$2"); shift ;;
      -h | --help) usage; exit 0 ;;
      *) die_usage "unknown argument: $1" ;;
    esac
    shift
  done
}

# The summary is the last line of bench_session.
measure() {
  say "sessions beside libzmq"
  "$BENCHES/bench_session" --curve-only | tail -n 1 | jq -c '{session: .}'
  say "many peers"
  "$BENCHES/bench_crowd"
  say "a far link that pauses"
  "$ROOT/tests/bench/burst.sh" | jq -c '{burst: .}'
}

# Each peer is granted the limit's share, and 2 MiB of each of three urgencies at least.
bounds() {
  cat <<'JQ'
  def within(most): . <= most;
  (.session // empty | (
    {what: "over CURVE, \(.curve_1024k_ratio) of the rate of libzmq, 0.95 wanted",
     holds: (.curve_1024k_ratio >= 0.95)},
    {what: "\(.curve_1024k_cpu_ratio) of the processor time of libzmq, 1.1 at most",
     holds: (.curve_1024k_cpu_ratio | within(1.1))})),
  (.idle // empty | {what: "\(.connections) idle connections take \(.core_percent) % of a core, 2 at most",
     holds: (.core_percent | within(2))}),
  (.flooded // empty | (.receive_limit_mib + 6 * .guests) as $most |
    {what: "\(.guests) peers that are never read hold \(.rss_mib) MiB, \($most) at most",
     holds: (.rss_mib | within($most))}),
  (.burst // empty | .of[] | select(.congestion == "chosen") |
    {what: "a burst, \(.path), queue of \(.queue_ms) ms: \(.median_of_best) of the best, 1.3 at most",
     holds: (.median_of_best | within(1.3))})
JQ
}

main() {
  parse_options "$@"
  need_tool jq jq
  make_temp_folder
  if [[ $CHECK == no ]]; then
    measure | tee "$TEMP_FOLDER/measured"
  else
    measure >"$TEMP_FOLDER/measured"
  fi
  if [[ -n $OUT ]]; then cp "$TEMP_FOLDER/measured" "$OUT"; fi
  if [[ $CHECK == yes ]]; then judge "$TEMP_FOLDER/measured" "$(bounds)"; fi
}

main "$@"
