#!/usr/bin/env bats
# Who is refused, and where: both sides say the other's address and key, and what would let it in.
# shellcheck disable=SC2154  # bats sets stderr and output

load helper
load tiny_job

setup_file() {
  cd "$BATS_FILE_TMPDIR" || return
  tiny_data "$PWD"
}

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  cp -r "$BATS_FILE_TMPDIR"/{data,job.toml} .
  local name
  for name in zero one two; do ptrain-stage identity --key "$name" >"$name.pub"; done
}

teardown() {
  local pid
  for pid in $(jobs -p); do kill "$pid" 2>/dev/null || true; done
  wait
}

# first [KEY]...: stage 0 in the background, dialled by the holders of these keys; its address in $at
first() {
  local i=0 key peers=()
  for key in "$@"; do peers+=(--peer "$((++i))=tcp://127.0.0.1:1#$key"); done
  ptrain-stage run --job job.toml --stage 0 --listen "${LISTEN:-tcp://127.0.0.1:0}" --key zero \
    --threads 1 "${peers[@]}" >first.out 2>first.err 3>&- &
  eventually 180 test -s first.out
  at=$(<first.out)
}

# last STAGE KEY [OPTION]...: the stage that dials, alone
last() {
  timeout 300 ptrain-stage run --job job.toml --stage "$1" --key "$2" --threads 1 "${@:3}"
}

@test "a stage whose key is not in the endpoints is told so at once, and where it belongs" {
  first "$(<two.pub)"
  expect 77 last 1 one --peer "0=$at"
  says "stage 0 at ${at%#*}: it does not admit our key $(<one.pub); its own is $(<zero.pub)"
  says "hint: there, the endpoint of stage 1 (its line of --endpoints, or --peer 1=) must end in #$(<one.pub)"
  eventually 60 grep -q "refused 127.0.0.1 with key $(<one.pub), .*(--endpoints, --peer) must end in #$(<one.pub)" first.err
}

@test "a stage with another one's key is told so at once, and with which" {
  first "$(<one.pub)" "$(<two.pub)"
  expect 2 last 1 two --peer "0=$at" --peer "2=tcp://127.0.0.1:1#$(<two.pub)" \
    --listen tcp://127.0.0.1:0
  says "stage 0 at ${at%#*} refused us: its endpoint of stage 1 (--endpoints, --peer) ends in #$(<one.pub), not in #$(<two.pub)"
  eventually 60 grep -q "refused 127.0.0.1 with key $(<two.pub): .* is not that of stage 1, which is $(<one.pub)" first.err
}

@test "a stage that dials with a wrong key for the other is told which it took" {
  first "$(<one.pub)"
  expect 69 last 1 one --peer "0=${at%#*}#$(<two.pub)" --peer-timeout 8
  says "stage 0 at ${at%#*} (the handshake failed: is $(<two.pub), the key after #, its key?)"
  eventually 60 grep -q "not a handshake of ours, or one for another key than ours, $(<zero.pub)" first.err
}

@test "a holder says whom it has refused, and with what it would not" {
  mkdir source
  ptrain-ckpt serve --dir source --listen tcp://127.0.0.1:0 --admit "$(<two.pub)" --key zero \
    >serve.out 2>serve.err 3>&- &
  eventually 60 test -s serve.out
  at=$(<serve.out)
  expect 77 ptrain-ckpt fetch --from "$at" --dir copy --key one
  says "${at%#*}: it does not admit our key $(<one.pub); its own is $(<zero.pub)"
  says "ptrain-ckpt serve --admit $(<one.pub)"
  eventually 60 grep -q "refused 127.0.0.1 with key $(<one.pub), .*: --admit $(<one.pub) lets it in" serve.err
}

@test "who listens at all addresses prints one that others can dial" {
  ptrain-stage run --job job.toml --threads 1 --set checkpoint.dir=source --set train.steps=4 >/dev/null
  local all
  for all in 0.0.0.0 '[::]'; do
    ptrain-ckpt serve --dir source --listen "tcp://$all:0" --anyone --key zero >serve.out 2>serve.err 3>&- &
    eventually 60 test -s serve.out
    at=$(<serve.out)
    [[ $at != "tcp://$all:"* && $at =~ ^tcp://[][0-9a-f.:]+:[0-9]+#[0-9a-f]{64}$ ]] || { echo "$at"; return 1; }
    expect 0 ptrain-ckpt fetch --from "$at" --dir "copy$all" --key one
    kill %%
    : >serve.out
  done
  LISTEN=tcp://0.0.0.0:0 first "$(<one.pub)"
  [[ $at != tcp://0.* && $at =~ ^tcp://[0-9.]+:[0-9]+# ]]
  expect 77 last 1 two --peer "0=$at"
  says "stage 0 at ${at%#*}: it does not admit our key $(<two.pub)"
}
