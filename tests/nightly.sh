#!/usr/bin/env bash
# The tests that take too long for every change: on other systems and processors, and longer ones.
# shellcheck source=../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../recipes/lib.sh"
# shellcheck source=parts.sh
. "$ROOT/tests/parts.sh"
# shellcheck source=tally.sh
. "$ROOT/tests/tally.sh"

# NAME, then what it shows. Each is a function suite_NAME.
suites() {
  cat <<'TABLE'
bookworm      both commands of the README on a bare Debian 12 (tests/fresh.sh); needs root
trixie        the same on a bare Debian 13
arm64         all programs built for arm64, the unit tests and a job under qemu-user (tests/arm64.sh)
abuse         a relay beside an hour of abuse from 200 addresses; needs root
peers         on the current PyTorch, and beside transformers: a download of some 3 GB (tests/peers.sh)
processors    every program as on older processors, which qemu-user plays (tests/processors.sh)
simulator     100,000 pipelines, 10,000 changes of path on virtual time, and planted defects (tests/sim)
links         what ptrain-probe says of links beside iperf3 and ping, and of 16 hosts; needs root, iperf3
plans         plans held against brute force, of 10,000 hosts, and against the memory that stages take
punching      all pairs of classes of NATs, 20 trials each; needs root
network       sessions beside libzmq, many peers of one process, far links that pause; needs root
nothing-lost  a million messages each way while what carries them breaks; needs root
TABLE
}

suite_bookworm() { run_tap "$ROOT/tests/fresh.sh" bookworm; }
suite_network() { run_tap "$ROOT/tests/bench/network.sh" --check; }
suite_nothing-lost() { run_tap "$ROOT/tests/net/nothing_lost_nightly.sh"; }
suite_punching() { run_tap one_test 'every pair that can be passed without a guess is' "$ROOT/tests/net/punch_matrix.sh" --trials 20; }
suite_trixie() { run_tap "$ROOT/tests/fresh.sh" trixie; }
suite_arm64() { run_tap "$ROOT/tests/arm64.sh"; }
suite_abuse() {
  run_tap env PTRAIN_ABUSE_SECONDS=3600 bats --tap --filter 'beside abuse' \
    "$ROOT/tests/net/relay_attacks.bats"
}
suite_peers() { run_tap "$ROOT/tests/peers.sh"; }
suite_processors() { run_tap "$ROOT/tests/processors.sh"; }

suite_links() {
  run_tap "$ROOT/tests/bench/probe.sh" --check
  run_tap "$ROOT/tests/bench/matrix.sh" --check
  run_tap "$ROOT/tests/bench/matrix.sh" --check --dead h7
}

suite_plans() {
  run_tap bats --tap "$ROOT/tests/bench/plan.bats"
  run_tap "$ROOT/tests/bench/plan_memory.sh" --check
}

suite_simulator() {
  run_tap one_test '10,000 changes of path lose, double and swap nothing' \
    env SIM_SWITCHES=10000 "$ROOT/build/release/tests/test_sim_nodes" --gtest_filter='PathSwitches.*'
  run_tap "$ROOT/tests/sim/run.sh" --seeds 1-100000 --tap
  run_tap "$ROOT/tests/sim/run.sh" --sessions --seeds 1-2000 --tap
  run_tap "$ROOT/tests/sim/planted.sh"
  run_tap "$ROOT/tests/unit/reduce/planted.sh"
}

names() { suites | awk '{ print $1 }'; }

usage() {
  cat <<TEXT
usage: nightly.sh [--only SUITE]...

Runs what takes too long for tests/run.sh, in hours:

$(suites | sed 's/^/  /')

  --only SUITE  this suite alone; may be given again

Counts like run.sh: the last line is "N passed, M failed, K skipped". Ends with 0 when nothing
failed.

Example:
  sudo ./tests/nightly.sh --only trixie
TEXT
}

# run_tap COMMAND...: whose standard output is the Test Anything Protocol
run_tap() {
  local tap=$TEMP_FOLDER/$SUITE.tap
  "$@" </dev/null | tee "$tap" || true
  count_tap "$tap"
}

# one_test WORDS COMMAND...: TAP for one command
one_test() {
  local verdict=ok
  "${@:2}" >&2 || verdict='not ok'
  printf '1..1\n%s 1 %s\n' "$verdict" "$1"
}

main() {
  choose "$@"
  make_temp_folder
  local suite
  for suite in "${CHOSEN[@]}"; do run_suite "$suite"; done
  summarise
}

main "$@"
