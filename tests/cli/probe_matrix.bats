#!/usr/bin/env bats
# All links of a run, over loopback and through its relay; and what a host's router does, where there
# is none. tests/net/probe_matrix.bats and probe_nat.bats have links of a given rate, and routers.

load helper

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  ptrain-relay serve --state relay --listen tcp://127.0.0.1:0 --data 0 --json >relay.out 2>relay.err 3>&- &
  eventually 60 test -s relay.out
  ptrain-relay ticket new --run alice --relay "$(jq -r .relay relay.out)" -o ticket
}

teardown() {
  local pid
  for pid in $(jobs -p); do kill "$pid" 2>/dev/null || true; done
  wait
}

# server NAME OPTION...: in the background; its pid in $server
server() {
  local name=$1
  shift
  ptrain-probe serve --ticket ticket --name "$name" --key "$name.key" "$@" >"$name.out" 2>"$name.err" 3>&- &
  server=$!
  eventually 60 test -s "$name.out"
}

matrix() { ptrain-probe matrix --ticket ticket --key asker.key --max-bytes 300kB --max-time 1 "$@"; }

holds() { jq -e "$1" <<<"$output" >/dev/null || { echo "does not hold: $1"; show_output; return 1; }; }

@test "all that serve are found, and each way between them is measured within its limits" {
  server one --listen tcp://127.0.0.1:0
  server two
  server three --max-bytes 200kB
  expect 0 matrix --json
  says "3 hosts, 6 ways: at most 3 MB in all, and about"
  holds '.kind == "links" and .version == 1 and (.time_s - now | fabs < 60)'
  holds '[.hosts[].name] == ["one", "three", "two"]'
  holds '.pairs | length == 6 and all((has("failed") | not) and .rate_bytes_per_s > 0 and .round_trip_s > 0
    and .detail.bytes <= 3e5)'
  holds '[.pairs[] | select(.from == "three" or .to == "three") | .detail.bytes <= 2e5] | all'
  echo "$output" >links.json
  # A table for people; what is not there now is taken from before.
  kill "$server"
  wait "$server" || true
  expect 0 matrix one two three --timeout 5 --update links.json
  prints "Mbit/s"
  prints "three: failed: no answer within 5 s"
  prints "one to three: stale, measured at 20"
}

@test "one host is no matrix, and neither is a ticket that leads nowhere" {
  expect 69 matrix --timeout 2
  says "lead to none of the servers of probes within 2 s, and a matrix needs two"
  server one
  expect 69 matrix one two --timeout 3
  says "lead to one of the servers of probes within 3 s"
}

@test "a server that also admits keys goes on no errands" {
  server one --admit "$(ptrain-stage identity --key other.key)"
  server two
  expect 69 matrix one two --timeout 5 --json
  holds '.pairs | all(.failed | contains("errands are for the members of a run"))'
}

@test "what cannot be is refused with 2, and a file that is no links file with 65" {
  expect 2 ptrain-probe matrix
  says "--ticket is needed"
  expect 2 matrix East
  says "East: no name of a server of probes"
  echo '{}' >links.json
  expect 65 matrix --update links.json
  says "links.json: no links file"
  expect 2 ptrain-probe nat
  says "neither --relay nor --ticket was given"
  expect 2 ptrain-probe nat --relay 127.0.0.1:0
  says "--relay 127.0.0.1:0: no relay"
}

@test "a host without a router is open, and a relay that is not there is said not to answer" {
  local port
  port=$(jq '.echo_ports[0]' relay.out)
  expect 0 ptrain-probe nat --relay "127.0.0.1:$port" --json
  holds '.kind == "nat" and .class == "open" and .mapping == "none" and .class_s < 2'
  holds '.relays | length == 1 and .[0].nearest and .[0].round_trip_s < 1'
  expect 0 ptrain-probe nat --relay "127.0.0.1:$port" --relay 127.0.0.1:1
  prints "class          open (mapping none, filtering "
  prints "relay          127.0.0.1: no answer"
  expect 69 ptrain-probe nat --relay 127.0.0.1:1 --json
  holds '.class == "unknown"'
}
