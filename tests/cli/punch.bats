#!/usr/bin/env bats
# ptrain-punch, on a host whose router is one that the test makes: what it asks, prints and refuses.
# tests/net/punch.bats has a router that people have.
# shellcheck disable=SC2154,SC2030,SC2031  # bats sets stderr, output and status; a test is a subshell

load helper

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  export HOME=$PWD/home XDG_STATE_HOME=$PWD/state
  unset XDG_CONFIG_HOME PTRAIN_OUTSIDE_FILE
  export TMPDIR=$PWD/tmp
  mkdir home tmp
  cp "$ROOT/tests/waits.bash" words.bash  # of scripts that run at home
}

# at_home 'OPTIONS OF THE ROUTER' COMMAND...
at_home() {
  GATEWAY_OPTIONS=$1 timeout 300 "$BATS_TEST_DIRNAME/home_network.bash" "${@:2}"
}

# script_at_home 'OPTIONS OF THE ROUTER': the script on standard input
script_at_home() {
  cat words.bash - >script.bash
  expect 0 at_home "$1" bash -eu script.bash
}

@test "what cannot be mapped is refused before anybody is asked" {
  expect 2 ptrain-punch map
  says "no port to map"
  expect 2 ptrain-punch map --tcp 0
  expect 2 ptrain-punch map --tcp 65536
  expect 2 ptrain-punch map --tcp 7100 --lease 9
  expect 2 ptrain-punch map --udp 7100 --lease 3601
  local i
  local -a many=()
  for i in {1..17}; do many+=(--tcp "$((7100 + i))"); done
  expect 2 ptrain-punch map "${many[@]}"
  says "17 ports, at most 16 allowed"
}

@test "without a router there is nobody to ask" {
  expect 69 at_home unrouted ptrain-punch map --tcp 7100
  says "no default route has a gateway"
  expect 69 at_home unrouted ptrain-punch status
  [ -z "$(ls state/ptrain/punch/*)" ]  # nor is anything left
}

@test "a router that maps nothing is told from none" {
  expect 69 at_home none ptrain-punch map --tcp 7100
  says "PCP at 192.168.1.1: no answer"
  says "UPnP at 192.168.1.1: no answer"
  says "ptrain-relay(1)"
}

@test "one that takes requests and answers none is given up" {
  expect 69 at_home --mute ptrain-punch map --tcp 7100
  says "NAT-PMP at 192.168.1.1: no answer"
}

@test "map prints where others reach the port, and removes the mapping at the end" {
  script_at_home '' <<'SCRIPT'
ptrain-punch map --tcp 7100 --udp 7101 --lease 900 >out &
map=$!
within grep -q udp://8.8.4.4:7101 out
grep -qx 'map tcp 7100 900' gateway.log
kill -TERM $map
ended $map 143
within grep -qx 'unmap udp 7101' gateway.log
grep -qx 'unmap tcp 7100' gateway.log
SCRIPT
  [ "$(<out)" = $'tcp://8.8.4.4:7100\nudp://8.8.4.4:7101' ]
  says "tcp 7100 is tcp://8.8.4.4:7100, by PCP at 192.168.1.1"
  says "SIGTERM: stopping"
}

@test "each signal that stops it removes the mapping" {
  script_at_home '' <<'SCRIPT'
declare -A codes=([INT]=130 [HUP]=129)
for signal in INT HUP; do
  : >out
  # Background commands of a script ignore SIGINT.
  env --default-signal ptrain-punch map --tcp 7100 >out &
  map=$!
  within grep -q tcp out
  kill -$signal $map
  ended $map "${codes[$signal]}"
done
within test "$(grep -cx 'unmap tcp 7100' gateway.log)" = 2
SCRIPT
}

@test "--json says by whom" {
  script_at_home '--lease 300' <<'SCRIPT'
ptrain-punch map --tcp 7100 --json >out &
map=$!
within test -s out
kill -TERM $map
ended $map 143
SCRIPT
  jq -e '.kind == "mapped" and .protocol == "tcp" and .port == 7100 and .service == "PCP" and
    .outside == "tcp://8.8.4.4:7100" and .gateway == "192.168.1.1" and .lease_s == 300' out
}

@test "a router of NAT-PMP alone is asked by NAT-PMP" {
  script_at_home '--only nat-pmp' <<'SCRIPT'
ptrain-punch map --tcp 7100 --json >out &
map=$!
within test -s out
kill -TERM $map
ended $map 143
within grep -qx 'unmap tcp 7100' gateway.log
SCRIPT
  jq -e '.service == "NAT-PMP" and .outside == "tcp://8.8.4.4:7100"' out
}

@test "a router of PCP alone, too" {
  script_at_home '--only pcp' <<'SCRIPT'
ptrain-punch map --tcp 7100 -- true
SCRIPT
  prints tcp://8.8.4.4:7100
}

@test "of IPv6 the router opens the port as it is" {
  script_at_home '--v6 2001:db8:1::1' <<'SCRIPT'
# shellcheck disable=SC2016  # the command's own
ptrain-punch map --tcp 7100 -- bash -c 'cat "$PTRAIN_OUTSIDE_FILE"'
SCRIPT
  [ "$output" = 'tcp://8.8.4.4:7100
tcp://[2001:db8:1::2]:7100
tcp 7100 tcp://8.8.4.4:7100
tcp 7100 tcp://[2001:db8:1::2]:7100' ] || { show_output; return 1; }
  [ "$(grep -c '^unmap tcp 7100' gateway.log)" = 2 ]
}

@test "a command runs while the port is mapped, and its exit code is ours" {
  # shellcheck disable=SC2016  # the command's own
  expect 7 at_home '' ptrain-punch map --tcp 7100 -- \
    bash -c 'echo "told: $(cat "$PTRAIN_OUTSIDE_FILE")"; exit 7'
  [ "$output" = $'tcp://8.8.4.4:7100\ntold: tcp 7100 tcp://8.8.4.4:7100' ] || { show_output; return 1; }
  grep -qx 'unmap tcp 7100' gateway.log
  [ -z "$(ls tmp)" ]
}

@test "the outside file that is named is kept, and empty at the end" {
  export PTRAIN_OUTSIDE_FILE=$PWD/outside
  expect 0 at_home '' ptrain-punch map --tcp 7100 -- cp outside copy
  [ "$(<copy)" = 'tcp 7100 tcp://8.8.4.4:7100' ]
  [[ -f outside && ! -s outside ]]
  export PTRAIN_OUTSIDE_FILE=$PWD/no/such/folder/outside
  expect 74 at_home '' ptrain-punch map --tcp 7100 -- true
  run ! grep map gateway.log  # nothing was begun
}

@test "a command that does not exist leaves no mapping" {
  expect 2 at_home '' ptrain-punch map --tcp 7100 -- ./no-such-command
  says "./no-such-command: no such command"
  grep -qx 'unmap tcp 7100' gateway.log
}

@test "a command gets signals, SIGHUP too, and ends by itself" {
  script_at_home '' <<'SCRIPT'
cat >command.bash <<'COMMAND'
trap 'echo hup >>heard' HUP
trap 'echo usr1 >>heard' USR1
trap 'echo term >>heard; exit 5' TERM
echo begun >>heard
while true; do sleep 0.1; done
COMMAND
ptrain-punch map --tcp 7100 -- bash command.bash &
map=$!
within grep -q begun heard
kill -HUP $map
within grep -q hup heard
kill -USR1 $map
within grep -q usr1 heard
kill -TERM $map
ended $map 5
SCRIPT
  [ "$(tail -n 1 heard)" = term ]
}

@test "a command ends with map, even where that is killed" {
  script_at_home '' <<'SCRIPT'
ptrain-punch map --tcp 7100 -- bash -c 'echo $$ >pid; exec sleep 1000' &
map=$!
within test -s pid
kill -KILL $map
within test ! -e "/proc/$(<pid)"
SCRIPT
}

@test "a refusal has the service's own name for it" {
  expect 69 at_home '--refuse 2' ptrain-punch map --tcp 7100
  says "PCP at 192.168.1.1: tcp 7100: NOT_AUTHORIZED (2)"
  says "NAT-PMP at 192.168.1.1: tcp 7100: Not Authorized/Refused (2)"
}

@test "a mapping behind a carrier's NAT, or another router, is worth nothing" {
  expect 69 at_home '--outside 100.64.3.4' ptrain-punch map --tcp 7100
  says "100.64.3.4 is one of a carrier's NAT"
  says "hint: ask the carrier for a public IPv4 address"
  grep -qx 'unmap tcp 7100' gateway.log
  expect 69 at_home '--outside 192.168.178.20' ptrain-punch map --tcp 7100
  says "another router lies before it"
}

@test "false answers of a foreign gateway are not heard" {
  script_at_home --lies <<'SCRIPT'
ptrain-punch map --tcp 7100 -- true
SCRIPT
  [ "$output" = tcp://8.8.4.4:7100 ] || { show_output; return 1; }
  expect 69 at_home '--only-lies --only pcp' ptrain-punch map --tcp 7100
  says "no answer"
}

@test "a router that begins anew is asked again" {
  export PTRAIN_OUTSIDE_FILE=$PWD/outside
  script_at_home '--only nat-pmp' <<'SCRIPT'
ptrain-punch map --tcp 7100 >out &
map=$!
within grep -q tcp out
sleep 3  # the gateway's seconds have to have gone on
: >gateway.log
kill -HUP $GATEWAY
within grep -q '^map tcp 7100' gateway.log
kill -TERM $map
ended $map 143
SCRIPT
  says "began anew: asking it again"
}

@test "a port has one keeper" {
  script_at_home '' <<'SCRIPT'
ptrain-punch map --tcp 7100 >out 2>/dev/null &
map=$!
within grep -q tcp out
code=0
ptrain-punch map --tcp 7100 || code=$?
((code == 75))
code=0
ptrain-punch unmap --tcp 7100 || code=$?
((code == 75))
ptrain-punch status >status
grep -qx "ours     tcp 7100 is kept by process $map" status
kill -TERM $map
ended $map 143
ptrain-punch unmap
SCRIPT
  says "tcp 7100 is mapped by process"
  says "tcp 7100 is kept by process"
  says "nothing was left"
}

@test "what a map that was killed has left is shown, and removed" {
  script_at_home '' <<'SCRIPT'
ptrain-punch map --tcp 7100 >out 2>/dev/null &
map=$!
within grep -q tcp out
kill -KILL $map
wait $map || true
ptrain-punch status --json >status
ptrain-punch unmap --json >unmapped
within grep -qx 'unmap tcp 7100' gateway.log
ptrain-punch status --json >after
SCRIPT
  jq -es 'map(select(.kind == "left")) == [{"kind": "left", "protocol": "tcp", "port": 7100, "process": .[0].process}]' status
  jq -es 'map(select(.kind == "service" and .answers) | .service) == ["PCP", "NAT-PMP"]' status
  jq -es 'map(select(.service == "NAT-PMP"))[0].outside == "8.8.4.4"' status
  jq -es 'map([.kind, .port]) == [["removed", 7100]]' unmapped
  run ! grep left after
}

@test "who comes after a map that was killed takes its mapping over" {
  script_at_home '' <<'SCRIPT'
ptrain-punch map --tcp 7100 >out 2>/dev/null &
map=$!
within grep -q tcp out
kill -KILL $map
wait $map || true
# The router knows the mapping by its nonce, and refuses another.
ptrain-punch map --tcp 7100 -- true
SCRIPT
  prints tcp://8.8.4.4:7100
}
