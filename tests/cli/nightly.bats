#!/usr/bin/env bats
# The scripts of tests/ that people run: their options, and what they refuse. What they test they
# show by themselves, at night.

load helper

setup() { cd "$BATS_TEST_TMPDIR" || return; }

@test "every script of tests explains itself with an example" {
  local script
  for script in "$ROOT"/tests/*.sh; do
    [[ $script != */tally.sh && $script != */parts.sh ]] || continue  # only sourced
    expect 0 "$script" --help
    prints "usage: $(basename "$script")"
    prints "Example:"
    [ -z "$stderr" ]
    expect 2 "$script" --no-such-option
    says "$(basename "$script"): error: "
    says "--no-such-option"
  done
}

@test "nightly.sh lists its suites, and refuses one that it does not have" {
  expect 0 "$ROOT/tests/nightly.sh" --help
  local suite
  for suite in bookworm trixie arm64 links; do prints "  $suite "; done
  expect 2 "$ROOT/tests/nightly.sh" --only none
  says "--only none: expected one of bookworm trixie arm64"
}

@test "fresh.sh needs root, and one suite" {
  expect 2 "$ROOT/tests/fresh.sh"
  says "no suite"
  expect 2 "$ROOT/tests/fresh.sh" bookworm trixie
  expect 2 "$ROOT/tests/fresh.sh" bookworm --only none
  says "--only none: expected one of quickstart tests"
  expect 2 "$ROOT/tests/fresh.sh" bookworm -- --quick
  # In a namespace that maps nobody we are nobody, and may read what is ours.
  expect 77 unshare --user "$ROOT/tests/fresh.sh" bookworm
  says "needs root"
}

# tally TEXT: sources what counts, counts TEXT as the output of a suite, and sums up
tally() {
  printf '%s\n' "$1" >suite.tap
  # shellcheck disable=SC2016  # the script's own
  printf '%s\n' '#!/usr/bin/env bash' ". '$RECIPES/lib.sh'" ". '$ROOT/tests/tally.sh'" \
    'suite_some() { count_tap suite.tap; }' 'run_suite some' 'summarise' >some-script
  bash some-script
}

@test "what a suite of TAP reports is counted, and what it does not report has failed" {
  expect 0 tally $'1..2\nok 1 a\nok 2 b'
  prints "2 passed, 0 failed, 0 skipped"
  expect 0 tally $'1..2\nok 1 a\nok 2 b # skip no reason'
  prints "not passed: some: skipped: 2 b # skip no reason"
  prints "1 passed, 0 failed, 1 skipped"
  expect 1 tally $'1..2\nok 1 a\nnot ok 2 b'
  prints "not passed: some: b"
  expect 1 tally $'1..3\nok 1 a'
  prints "not passed: some: 2 tests did not run"
  expect 1 tally ''
  prints "0 passed, 1 failed, 0 skipped"
}

# judged CODE SCRIPT JQ: what the script's --check says of its numbers, changed by JQ
judged() {
  jq "$3" "$2.json" >changed.json
  expect "$1" "$ROOT/tests/bench/$2.sh" --check --from changed.json
}

@test "probe.sh holds its numbers against each bound" {
  cat >probe.json <<'JSON'
[{"mbit_to": 4, "mbit_from": 16, "round_trip_ms": 40, "rate_to": 0.951, "rate_from": 1.049,
  "spread_to": [0.99, 1.01], "spread_from": [0.8, 1.2], "coarse_to": 0.86, "coarse_from": 1.14,
  "bytes_to": 0.05, "bytes_from": 0.01, "round": 1.5, "round_off_ms": -0.19, "beyond_s": 3},
 {"mbit_to": 200, "mbit_from": 200, "round_trip_ms": 160, "rate_to": 1.06, "rate_from": 0.8,
  "spread_to": [0.99, 1.02], "spread_from": [0.8, 1.2], "coarse_to": 1, "coarse_from": 1,
  "bytes_to": 0.01, "bytes_from": 0.01, "round": 1.029, "round_off_ms": 4, "beyond_s": 1},
 {"relayed": true, "mbit": 20, "round_trip_ms": 40, "rate_to": 0.97, "rate_from": 1.01},
 {"interval": true, "mbit": 20, "round_trip_ms": 50, "runs": 20, "inside_to": 19, "inside_from": 20}]
JSON
  judged 0 probe .
  prints "1..12"
  prints "ok 1 4/16 Mbit/s, 40 ms: rate within 5 %: 0.951, 1.049"
  prints "ok 6 200/200 Mbit/s, 160 ms: rate within the spread of three runs of iperf3: 1.06, 0.8 in [0.99,1.02], [0.8,1.2]"
  local worse
  for worse in '.[0].rate_to = 0.94' '.[0].rate_from = 1.06' '.[0].coarse_to = 0.84' '.[0].bytes_from = 0.06' \
    '.[0].round_off_ms = 0.3' '.[0].beyond_s = 3.1' '.[1].rate_to = 1.08' '.[1].rate_from = 0.75' \
    '.[1].round = 0.96' '.[2].rate_to = 0.94' '.[3].inside_to = 18' '.[3].inside_from = 0'; do
    judged 1 probe "$worse"
    [[ $(grep -c '^not ok ' <<<"$output") == 1 ]] || { echo "$worse"; show_output; return 1; }
  done
  judged 1 probe '[]'
}

@test "matrix.sh holds its numbers against each bound" {
  cat >matrix.json <<'JSON'
{"hosts": 16, "dead": "h7", "seconds": 59.6, "edges": 210, "of": 240, "within_10": 0.9, "worst": 0.8,
 "most_mb": 2.9, "failed": ["h1", "h7"], "links": {}}
JSON
  judged 0 matrix .
  prints "1..4"
  prints "ok 2 16 hosts, h7 dead: every way between living hosts: 210 of 240"
  judged 0 matrix 'del(.dead) | .edges = 240'
  local worse
  for worse in '.seconds = 61' '.edges = 209' 'del(.dead)' '.within_10 = 0.89' '.most_mb = 3.1'; do
    judged 1 matrix "$worse"
    [[ $(grep -c '^not ok ' <<<"$output") == 1 ]] || { echo "$worse"; show_output; return 1; }
  done
}

@test "plan_memory.sh holds the memory of each stage to 10 %" {
  cat >plan_memory.json <<'JSON'
[{"stages": 2, "stage": 0, "ratio": 0.901}, {"stages": 2, "stage": 1, "ratio": 1.099}]
JSON
  judged 0 plan_memory .
  prints "ok 2 stage 1 of 2: memory within 10 %: planned 1.099 of what it took"
  judged 1 plan_memory '.[0].ratio = 0.89'
  judged 1 plan_memory '.[1].ratio = 1.11'
}

@test "gpu.sh skips where there is no device, and bundles nothing that cannot be run on one" {
  if [[ $(ptrain-stage --version) == *'no cuda'* ]]; then
    expect 75 "$ROOT/tests/gpu.sh" --torch /usr/bin/python3
    [[ $output == "1..0 # SKIP no cuda: "* ]]
    [ -z "$stderr" ]
  fi
  expect 2 "$ROOT/tests/gpu.sh" --bundle "$PWD" --torch /usr/bin/python3
  says "--bundle $PWD: it exists"
  expect 2 "$ROOT/tests/gpu.sh" --bundle bundle --torch ./python
  says "--torch ./python: no python that has PyTorch"
  printf '#!/bin/sh\necho %q\n' "$PWD/torch" >python
  chmod +x python
  expect 2 "$ROOT/tests/gpu.sh" --bundle bundle --torch ./python
  says "--torch ./python: its PyTorch has no CUDA"
  [ ! -e bundle ]
}
