#!/usr/bin/env bats
# Plans that take too long for every change (tests/nightly.sh --only plans).
# shellcheck disable=SC2154,SC2030,SC2031  # bats sets output

load ../cli/helper

BUILD=$PTRAIN_BIN/..

@test "exact plans of 2,000 seeds are what brute force finds, and the heuristic is within 5 %" {
  expect 0 env PTRAIN_PLAN_SEEDS=2000 "$BUILD/tests/test_plan" --gtest_filter='Search.Exact*'
}

# bench HOSTS LAYERS SITES SECONDS: planned within that time, and within 15 % of what was planted
bench() {
  expect 0 "$BUILD/tests/bench_plan" "$1" "$2" "$3"
  echo "$output"
  awk -v most="$4" '{
    for (i = 1; i < NF; i++) {
      if ($i == "read" || $i == "planned") { time += $(i + 2) }
    }
    if (time > most || $NF < 1 / 1.15) exit 1
  }' <<<"$output"
}

@test "1,000 hosts and 200 blocks within 10 s" { bench 1000 100 0 10; }

@test "10,000 hosts by sites within 100 s" { bench 10000 100 200 100; }
