#!/usr/bin/env bats
# Runs that are killed at 200 random moments, one stage and two at a time.

load helper

@test "200 kills of runs that save every step lose nothing that was called durable" {
  "$ROOT/tests/crash/kill_run.sh" --kills 120 --seed 1 >"$BATS_TEST_TMPDIR/one" 2>&1 3>&- &
  local one=$!
  "$ROOT/tests/crash/kill_run.sh" --kills 80 --seed 2 --stages 2 >"$BATS_TEST_TMPDIR/two" 2>&1 3>&- ||
    { cat "$BATS_TEST_TMPDIR/two"; kill "$one"; return 1; }
  wait "$one" || { cat "$BATS_TEST_TMPDIR/one"; return 1; }
  sed 's/^/# /' "$BATS_TEST_TMPDIR/one" "$BATS_TEST_TMPDIR/two" >&3
}
