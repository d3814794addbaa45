#!/usr/bin/env bats
# Checkpoints between the members of a run, who find each other through its relay.

load helper
load tiny_job

# A checkpoint of two stages, a relay, and a ticket.
setup() {
  cd "$BATS_TEST_TMPDIR" || return
  tiny_data "$PWD"
  "$RECIPES/pipeline.sh" --job job.toml --stages 2 --out run --threads 1 --set train.steps=2 \
    --set optim.warmup_steps=1 >/dev/null
  ptrain-relay serve --state relay --listen tcp://127.0.0.1:0 --data 0 >relay.out 2>relay.err 3>&- &
  eventually 60 test -s relay.out
  ptrain-relay ticket new --run alice --relay "$(<relay.out)" -o ticket
}

teardown() {
  local pid
  for pid in $(jobs -p); do kill "$pid" 2>/dev/null || true; done
  wait
}

# as HOST COMMAND...: with that host's key
as() { XDG_CONFIG_HOME=$PWD/$1-config "${@:2}"; }

# The same for the background, where the pid is to be the command's own.
become() { XDG_CONFIG_HOME=$PWD/$1-config exec "${@:2}"; }

# hold HOST STAGE: a holder of that stage's files alone, and its pid in $holder
hold() {
  cp -r run/ckpt "$1"
  rm "$1"/step-00000002/stage-0$((1 - $2)).*
  become "$1" ptrain-ckpt serve --dir "$1" --ticket ticket >"$1.out" 2>"$1.err" 3>&- &
  holder=$!
  eventually 60 test -s "$1.out"
  [ "$(<"$1.out")" = meeting ]
}

@test "the shares of two hosts that nobody can dial become one checkpoint" {
  hold ann 0
  hold bob 1
  expect 0 as eve ptrain-ckpt fetch --ticket ticket --dir whole --json
  [ "$(jq '.holders | map(select(.bytes > 0)) | length' <<<"$output")" = 2 ]
  [[ $(jq -r '.holders[0].endpoint' <<<"$output") == holder-* ]]
  expect 0 ptrain-ckpt verify --data whole/latest
  expect 0 ptrain-ckpt diff run/ckpt/latest whole/latest
}

@test "a holder may come later, and is waited for" {
  become eve ptrain-ckpt fetch --ticket ticket --stage 1 --dir share >fetched 2>fetch.err 3>&- &
  local fetch=$!
  sleep 1
  hold bob 1
  wait "$fetch" || { cat fetch.err; return 1; }
  expect 0 ptrain-ckpt verify --held --data share/2
}

@test "a replica of what a member holds is kept by ticket" {
  hold ann 0
  become eve ptrain-ckpt replicate --ticket ticket --stage 0 --dir replica --interval 0.5 \
    >replicated 2>replicate.err 3>&- &
  eventually 60 test -e replica/step-00000002 || { cat replicate.err; return 1; }
  eventually 60 ptrain-ckpt verify --held --data replica/2
}

@test "who holds no ticket of the run finds nobody, and who was taken out of it is not let in" {
  hold bob 1
  ptrain-relay ticket new --run other --relay "$(<relay.out)" -o other
  expect 69 as eve ptrain-ckpt fetch --ticket other --dir share --timeout 8
  says "the relays of the ticket know of no holder of its run"
  local key
  key=$(as eve ptrain-stage identity)
  expect 0 ptrain-relay ticket revoke ticket "$key"
  expect 77 as eve ptrain-ckpt fetch --ticket ticket --dir share --timeout 60
  says "revoked"
  [ ! -e share ]
  kill "$holder"
}

@test "without anybody to ask, and with a ticket whose date is over, it says so" {
  expect 2 ptrain-ckpt fetch --dir share
  says "neither --from nor --ticket was given"
  expect 2 ptrain-ckpt serve --dir run/ckpt
  says "neither --listen nor --ticket was given"
  ptrain-relay ticket new --run old --relay "$(<relay.out)" --expires 1s -o old
  sleep 2
  expect 77 ptrain-ckpt fetch --ticket old --dir share
  says "ptrain-relay ticket renew"
  expect 77 ptrain-ckpt serve --ticket old --dir run/ckpt
}
