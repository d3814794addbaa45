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
  for suite in bookworm trixie arm64; do prints "  $suite "; done
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
