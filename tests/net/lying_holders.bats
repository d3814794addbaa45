#!/usr/bin/env bats
# Holders that lie about what they have, beside an honest one: ptrain-ckpt fetch brings the honest
# one's checkpoint, in less time than a holder is waited for otherwise. ptrain-net(7), WHO CAN DO
# WHAT, has the bounds.

load ../cli/helper
load ../cli/tiny_job
load shared_checkpoint

honest_holder() {
  ptrain-ckpt serve --dir source --listen tcp://127.0.0.1:0 >honest 2>serve.err 3>&- &
  eventually 60 test -s honest
}

teardown() {
  local pid
  for pid in $(jobs -p); do kill "$pid" 2>/dev/null || true; done
  wait
}

# liar NAME HOW: one more, which is asked before the honest one
liar() {
  "${PTRAIN_BIN%/bin}/tests/lying_holder" "$2" source >"$1" 2>"$1.err" 3>&- &
  eventually 60 test -s "$1"
  liars+=(--from "$(<"$1")")
}

# brings SECONDS: the honest checkpoint, whole, in less time
brings() {
  honest_holder
  local id begin=$SECONDS
  id=$(ptrain-ckpt ls --dir source --json | jq -r .id | tail -n 1)
  expect 0 timeout 240 ptrain-ckpt fetch "${liars[@]}" --from "$(<honest)" --dir copy --json
  ((SECONDS - begin < $1)) || { echo "$((SECONDS - begin)) s"; return 1; }
  [ "$(jq -r .id <<<"$output")" = "$id" ]
  expect 0 ptrain-ckpt verify --data copy/latest
}

@test "a random id for the latest step is passed over" {
  liar one random
  brings 45
}

@test "an id that is the hash of garbage is passed over" {
  liar one garbage
  brings 45
}

@test "who lists a checkpoint and shows no manifest is passed over after seconds" {
  liar one silent
  liar two silent
  brings 45
}

@test "chunks that several owe and never send come from the honest one" {
  liar one owing
  liar two owing
  brings 45
}
