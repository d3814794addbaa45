#!/usr/bin/env bats
# Programs that others reach through a router tell of the host and ports that it maps, as the file of
# ptrain-punch map says, and read it again.
# shellcheck disable=SC2154,SC2030,SC2031  # bats sets stderr, output and status; a test is a subshell

load helper

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  export HOME=$PWD/home PTRAIN_OUTSIDE_FILE=$PWD/outside
  unset XDG_CONFIG_HOME
  mkdir home
}

teardown() {
  if [[ ${SERVER-} ]]; then
    kill "$SERVER" 2>/dev/null || true
    wait "$SERVER" 2>/dev/null || true
  fi
}

# outside LINE...: another file in its place, as ptrain-punch does it
outside() {
  printf '%s\n' "$@" | sed '/^$/d' >outside.new
  mv outside.new outside
}

# relay: at ports that nobody else has; what it prints is in events, what it says in said
relay() {
  ptrain-relay serve --state relay --listen tcp://127.0.0.1:0 --data 0 --json >events 2>said &
  SERVER=$!
  eventually 30 test -s events
}
has() { jq -es "$1" events >/dev/null; }

@test "a relay tells of the outside host and ports, and says when tickets need another word" {
  : >outside
  relay
  mapfile -t PORTS < <(jq -r 'select(.kind == "listening") | (.endpoint | capture(":(?<p>[0-9]+)#").p),
    .data_port, .echo_ports[]?' events)
  eventually 10 grep -q "tcp port ${PORTS[0]} is not mapped now" said
  outside "tcp ${PORTS[0]} tcp://198.51.100.7:41000" "tcp ${PORTS[1]} tcp://198.51.100.7:41001"
  eventually 10 has 'any(.kind == "moved")'
  has 'map(select(.kind == "moved"))[0] | (.endpoint | startswith("tcp://198.51.100.7:41000#")) and
    .data_port == 41001 and (.echo_ports | not)'
  outside "tcp ${PORTS[0]} tcp://203.0.113.9:42000" "tcp ${PORTS[1]} tcp://203.0.113.9:42001"
  eventually 10 grep -q 'tickets that name tcp://198.51.100.7:41000#[0-9a-f]*,data=41001 are of no use' said
  has 'map(select(.kind == "moved"))[-1] | (.endpoint | startswith("tcp://203.0.113.9:42000#")) and
    .data_port == 42001'
}

@test "a relay that is mapped when it starts prints the outside word, with the operator's name where there is one" {
  relay
  local first second
  first=$(jq -r 'select(.kind == "listening") | .endpoint | capture(":(?<p>[0-9]+)#").p' events)
  second=$(jq -r 'select(.kind == "listening") | .data_port' events)
  kill "$SERVER"
  wait "$SERVER" || true
  outside "tcp $first tcp://198.51.100.7:41000" "tcp $second tcp://198.51.100.7:41001"
  : >events
  ptrain-relay serve --state relay --listen "tcp://127.0.0.1:$first" --data "$second" \
    --public-host home.example.net >events 2>said &
  SERVER=$!
  eventually 30 test -s events
  [[ $(<events) == tcp://home.example.net:41000#*,data=41001 ]]
}

@test "what the file says that is no such line is told, and nothing is announced by it" {
  echo nonsense >outside
  relay
  eventually 10 grep -q "PTRAIN_OUTSIDE_FILE .*outside: line 1" said
  has '.[0].endpoint | startswith("tcp://127.0.0.1:")'
}

@test "a holder of checkpoints tells of the outside endpoint, and again when it is another" {
  local port
  mkdir ckpt
  : >outside
  ptrain-ckpt serve --dir ckpt --listen tcp://0.0.0.0:0 --anyone --json >events 2>said &
  SERVER=$!
  eventually 30 test -s events
  port=$(jq -r 'select(.kind == "listening") | .endpoint | capture(":(?<p>[0-9]+)#").p' events)
  outside "tcp $port tcp://198.51.100.7:41000"
  eventually 10 has 'any(.kind == "moved" and (.endpoint | startswith("tcp://198.51.100.7:41000#")))'
  outside "tcp $port tcp://198.51.100.7:41005"
  eventually 10 has 'any(.kind == "moved" and (.endpoint | startswith("tcp://198.51.100.7:41005#")))'
  outside ''
  eventually 10 has 'map(select(.kind == "moved")) | length == 3 and (.[-1].endpoint | endswith(":41005") | not)'
}

@test "holders announce the outside endpoint to the members of a run, as it changes" {
  local port word
  mkdir ckpt
  unset PTRAIN_OUTSIDE_FILE
  relay
  export PTRAIN_OUTSIDE_FILE=$PWD/outside
  word=$(jq -r 'select(.kind == "listening") | .relay' events)
  ptrain-relay ticket new --run test --relay "$word" --out ticket >/dev/null
  port=$((20000 + RANDOM % 10000))
  outside "tcp $port tcp://198.51.100.7:41000"
  ptrain-ckpt serve --dir ckpt --listen "tcp://0.0.0.0:$port" --ticket ticket >holder 2>holder.said &
  local holder=$!
  eventually 30 announces 198.51.100.7:41000
  outside "tcp $port tcp://198.51.100.7:41005"
  eventually 30 announces 198.51.100.7:41005
  kill "$holder"
  wait "$holder" || true
}

# announces HOST:PORT: the member's record, as the relay keeps it for others, names it
announces() { grep -aq "tcp://$1" relay/registry; }
