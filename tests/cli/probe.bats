#!/usr/bin/env bats
# Links that ptrain-probe measures, over loopback: what it says, what it may cost, and who is
# refused. tests/net/probe.bats has links of a given rate.
# shellcheck disable=SC2154  # bats sets stderr and output

load helper

setup() {
  cd "$BATS_TEST_TMPDIR" || return
}

teardown() {
  local pid
  for pid in $(jobs -p); do kill "$pid" 2>/dev/null || true; done
  wait
}

# key NAME: that host's public key
key() { ptrain-stage identity --key "$1"; }

# serve OPTION...: in the background; its first line in $at, its pid in $server
serve() {
  : >serve.out
  ptrain-probe serve "$@" >serve.out 2>serve.err 3>&- &
  server=$!
  eventually 60 test -s serve.out || { cat serve.err; return 1; }
  at=$(head -n 1 serve.out)
}

holds() { jq -e "$1" <<<"$output" >/dev/null || { echo "does not hold: $1"; show_output; return 1; }; }

@test "a link over loopback: round trips, both ways, and round trips under load" {
  serve --listen tcp://127.0.0.1:0 --key one --admit "$(key two)" --json
  [ "$(jq -r .kind <<<"$at")" = listening ]
  expect 0 ptrain-probe link "$(jq -r .endpoint <<<"$at")" --key two --json
  says "at most 25.0 MB and 10 s each way: 50.0 MB in all"
  holds '.kind == "link" and .route == "direct" and .interface == "lo" and .tunnel == false'
  holds '.path | startswith("tcp://127.0.0.1:")'
  holds '(.time | fromdate) - .time_s | fabs < 1.5'
  holds '.round_trip | .count == 100 and .least_s > 0 and .least_s <= .median_s and .median_s <= .p99_s'
  holds '[.to_peer, .from_peer] | all(.bytes > 0 and .bytes <= 25e6 and .low_bytes_per_s <= .rate_bytes_per_s
    and .rate_bytes_per_s <= .high_bytes_per_s)'
  # What the server counted is what the asker was told.
  eventually 60 grep -q test_ended serve.out
  [ "$(jq -s 'map(select(.kind == "test_ended"))[0].received_bytes' serve.out)" = "$(jq .to_peer.bytes <<<"$output")" ]
  [ "$(jq -s 'map(select(.kind == "test_ended"))[0].sent_bytes' serve.out)" = "$(jq .from_peer.bytes <<<"$output")" ]
}

@test "a table for people, with --coarse and --reverse for less" {
  serve --listen tcp://127.0.0.1:0
  expect 0 ptrain-probe link "$at" --reverse --coarse
  prints "path         tcp://127.0.0.1:"
  prints ", direct, through lo"
  [[ $output =~ round\ trip\ +[0-9.]+\ ms\ median,\ [0-9.]+\ ms\ p99,\ [0-9.]+\ ms\ jitter ]]
  prints "from peer "
  [[ $output != *"to peer "* ]]
  says "25.0 MB in all"
}

@test "--interval goes on, a line each, until it is told to end" {
  serve --listen tcp://127.0.0.1:0
  ptrain-probe link "$at" --interval 1 --coarse >lines 2>err 3>&- &
  local link=$!
  eventually 120 two_lines
  kill -TERM "$link"
  wait "$link" && return 1 || [ $? = 143 ]
  [[ $(head -n 1 lines) =~ ^20[0-9-]+T[0-9:]+Z\ \ [0-9.]+\ ms\ round\ trip,\ .*\ Mbit/s\ to,\ .*\ Mbit/s\ from$ ]]
}
two_lines() { (($(wc -l <lines) >= 2)); }

@test "the server's limits hold, whatever is asked for" {
  serve --listen tcp://127.0.0.1:0 --max-bytes 300kB --max-rate 1MB --json
  expect 0 ptrain-probe link "$(jq -r .endpoint <<<"$at")" --max-bytes 1GB --json
  holds '[.to_peer, .from_peer] | all(.bytes <= 300e3 and .rate_bytes_per_s < 1.2e6)'
  eventually 60 grep -q test_ended serve.out
  jq -es 'map(select(.kind == "test_ended")) | all(.received_bytes <= 300e3 and .sent_bytes <= 300e3)' serve.out
}

@test "a key that is not admitted ends with 77, and both sides say what would let it in" {
  serve --listen tcp://127.0.0.1:0 --key one --admit "$(key two)"
  expect 77 ptrain-probe link "$at" --key three
  says "${at%#*}: it does not admit our key $(key three); its own is $(key one)"
  says "ptrain-probe serve --admit $(key three)"
  eventually 60 grep -q "refused 127.0.0.1 with key $(key three), .*: --admit $(key three) lets it in" serve.err
}

@test "a peer that is not there ends with 69, and is named" {
  expect 69 ptrain-probe link tcp://127.0.0.1:1 --timeout 1
  says "tcp://127.0.0.1:1"
}

@test "while another is measured it waits, and ends with 75 when that takes too long" {
  serve --listen tcp://127.0.0.1:0 --json
  local endpoint
  endpoint=$(jq -r .endpoint <<<"$at")
  ptrain-probe link "$endpoint" --interval 1 --max-rate 20kB --max-time 300 --max-bytes 1GB >first 2>&1 3>&- &
  local first=$!
  eventually 60 grep -q test_began serve.out
  expect 75 ptrain-probe link "$endpoint" --timeout 1
  says "$endpoint measures with another"
  says "hint: --timeout waits for longer"
  # It goes on by itself when the first is gone.
  ptrain-probe link "$endpoint" --coarse --timeout 120 >second 2>err 3>&- &
  local second=$!
  kill "$first"
  wait "$second" || { cat err; return 1; }
  grep -q 'to peer' second
}

@test "a peer that claims what it cannot have received is named, with 65" {
  "$PTRAIN_BIN/../tests/lying_probe" >serve.out 2>serve.err 3>&- &
  eventually 60 test -s serve.out
  expect 65 ptrain-probe link "$(<serve.out)"
  says "$(<serve.out): it claims to have received"
  says "its figures are not to be believed"
}

@test "a stage, or a holder of checkpoints, is no server of probes" {
  mkdir source
  ptrain-ckpt serve --dir source --listen tcp://127.0.0.1:0 >serve.out 2>serve.err 3>&- &
  eventually 60 test -s serve.out
  run --separate-stderr ptrain-probe link "$(<serve.out)" --timeout 20
  [[ $status -ne 0 && $stderr == *"'checkpoints'"* && $stderr == *"'probe'"* ]] || { show_output; return 1; }
}

@test "members of a run find each other by name and by key, and nobody else does" {
  ptrain-relay serve --state relay --listen tcp://127.0.0.1:0 --data 0 >relay.out 2>relay.err 3>&- &
  eventually 60 test -s relay.out
  ptrain-relay ticket new --run alice --relay "$(<relay.out)" -o ticket
  ptrain-relay ticket new --run other --relay "$(<relay.out)" -o other
  serve --ticket ticket --name east --key one
  [ "$at" = meeting ]
  expect 0 ptrain-probe link east --ticket ticket --key two --coarse --json
  # On a host with a network both have a direct path, too, by and by.
  holds '.peer == "east" and ((.route == "relayed" and (.path | startswith("socks5://127.0.0.1:"))) or
    (.route == "punched" and (.path | startswith("tcp://0.0.0.0:"))))'
  holds '[.to_peer, .from_peer] | all(.bytes > 0)'
  expect 69 ptrain-probe link west --ticket ticket --key two --timeout 3
  says "the relays of the ticket lead to no server of probes called west within 3 s"
  expect 69 ptrain-probe link east --ticket other --key two --timeout 3
  kill "$server"
  wait "$server" || true
  serve --ticket ticket --listen tcp://127.0.0.1:0 --key one
  expect 0 ptrain-probe link "$(key one)" --ticket ticket --key two --coarse
  prints "from peer "
}

@test "what cannot be is refused with 2" {
  expect 2 ptrain-probe serve
  says "neither --listen nor --ticket was given"
  expect 2 ptrain-probe serve --listen tcp://0.0.0.0:0 --key one
  says "neither --admit nor --ticket was given"
  expect 2 ptrain-probe serve --listen tcp://127.0.0.1:0 --admit short
  says "--admit short: not 64 hexadecimal digits"
  expect 2 ptrain-probe serve --listen tcp://127.0.0.1:0 --name east
  says "--name: only members of a run know names"
  expect 2 ptrain-probe link east
  says "east is no endpoint, and there is no --ticket to find it by"
  expect 2 ptrain-probe link tcp://127.0.0.1:1 --max-bytes 1kB
  says "--max-bytes"
  expect 2 ptrain-probe link tcp://127.0.0.1:1 --interval 0
  says "--interval"
}
