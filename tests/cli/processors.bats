#!/usr/bin/env bats
# The programs on processors that are older than the one that runs the tests.

load helper

@test "as a Haswell, and held to AVX2, all programs work and the cuts of a job end alike" {
  [[ $(uname -m) == x86_64 ]] || skip "it emulates x86-64 processors on one of them"
  expect 0 "$ROOT/tests/processors.sh" --quick
}
