#!/usr/bin/env bats
# ptrain-punch with miniupnpd, the router that many homes have, in a laboratory: h1 behind it, p1 on
# the internet.
# shellcheck disable=SC2154  # bats sets stderr, output and status

load ../cli/helper

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  export HOME=$PWD/home XDG_STATE_HOME=$PWD/state TMPDIR=$PWD/tmp
  unset XDG_CONFIG_HOME PTRAIN_OUTSIDE_FILE
  mkdir home tmp
}

# in_lab: the script on standard input, with the words of port_mapping_router.bash
in_lab() {
  { echo ". '$ROOT/tests/net/port_mapping_router.bash'"; cat; } >script.bash
  run --separate-stderr timeout 300 "$RECIPES/lab/lab.sh" --hosts 1 --public 1 -- bash -eu script.bash
  ((status == 0)) || { show_output; tail -n 30 miniupnpd.log; return 1; }
}

@test "others reach a mapped port until the command ends" {
  in_lab <<'SCRIPT'
start_router enable_natpmp=yes
on h1 ptrain-punch map --tcp 7100 --udp 7101 --json -- \
  socat TCP-LISTEN:7100,fork,reuseaddr SYSTEM:'echo hello' >out &
map=$!
within greets 7100
mapped 7101
kill -TERM $map
ended $map 143
unmapped 7100
unmapped 7101
! greets 7100
SCRIPT
  jq -es 'map(.outside) == ["tcp://11.0.0.101:7100", "udp://11.0.0.101:7101"] and .[0].service == "PCP"' out
}

@test "a router that speaks UPnP alone maps as well, shows it, and forgets it" {
  in_lab <<'SCRIPT'
start_router enable_natpmp=no
on h1 ptrain-punch map --tcp 7100 --json >out &
map=$!
within test -s out
mapped 7100
on h1 ptrain-punch status --json >status
kill -KILL $map
wait $map || true
on h1 ptrain-punch unmap >removed
unmapped 7100
on h1 ptrain-punch map --tcp 7200 >out2 &
map=$!
within test -s out2
mapped 7200
kill -TERM $map
ended $map 143
unmapped 7200
SCRIPT
  jq -e '.outside == "tcp://11.0.0.101:7100" and .service == "UPnP"' out
  jq -es 'map(select(.kind == "mapping")) | length == 1 and (.[0] | .client == "192.168.1.2" and
    .port == 7100 and .description == "ptrain-punch")' status
  [ "$(<removed)" = 'tcp 7100' ]
}

@test "a mapping is renewed, and one whose keeper was killed ends by itself" {
  in_lab <<'SCRIPT'
start_router enable_natpmp=yes
on h1 ptrain-punch map --tcp 7100 --lease 10 >out &
kept=$!
within test -s out
on h1 ptrain-punch map --tcp 7200 --lease 10 >out2 &
killed=$!
within test -s out2
mapped 7200
kill -KILL $killed
within unmapped 7200 || within unmapped 7200  # newer routers give no lease of less than two minutes
mapped 7100
kill -TERM $kept
ended $kept 143
unmapped 7100
SCRIPT
}

@test "a mapping is made again when the router restarts, and at its new address" {
  export PTRAIN_OUTSIDE_FILE=$PWD/outside
  in_lab <<'SCRIPT'
start_router enable_natpmp=yes
on h1 ptrain-punch map --tcp 7100 --lease 20 >out &
map=$!
within test -s out
mapped 7100
stop_router
unmapped 7100
start_router enable_natpmp=yes
within mapped 7100
cp outside before
at_router sysctl -qw net.ipv4.conf.wan.promote_secondaries=1
at_router ip address add 11.0.0.150/24 dev wan
at_router ip address del 11.0.0.101/24 dev wan
stop_router
start_router enable_natpmp=yes
within grep -qx 'tcp 7100 tcp://11.0.0.150:7100' outside
within mapped 7100
kill -TERM $map
ended $map 143
SCRIPT
  [ "$(<before)" = 'tcp 7100 tcp://11.0.0.101:7100' ]
  [ ! -s outside ]
  [ "$(<out)" = $'tcp://11.0.0.101:7100\ntcp://11.0.0.150:7100' ]
}

@test "what a killed map has left is removed, by the nonce that made it" {
  in_lab <<'SCRIPT'
start_router enable_natpmp=yes
on h1 ptrain-punch map --tcp 7100 --lease 3600 >out &
map=$!
within test -s out
kill -KILL $map
wait $map || true
mapped 7100
on h1 ptrain-punch unmap
unmapped 7100
SCRIPT
  prints 'tcp 7100'
}

# By PCP miniupnpd would look for another outside port, one after the other, since its rules speak of
# those; by UPnP it says no.
@test "a request that the router's rules forbid is explained" {
  in_lab <<'SCRIPT'
start_router enable_natpmp=no
code=0
on h1 ptrain-punch map --tcp 80 || code=$?
((code == 69))
unmapped 80
SCRIPT
  [[ $stderr =~ UPnP\ at\ 192\.168\.1\.1:\ tcp\ 80:\ [A-Za-z\ ]+\ \([0-9]+\) ]] || { show_output; return 1; }
}

@test "behind a carrier's NAT it says that a mapping would be worth nothing" {
  in_lab <<'SCRIPT'
at_router ip address add 100.64.7.8/10 dev wan
at_router ip address del 11.0.0.101/24 dev wan
start_router enable_natpmp=yes
code=0
on h1 ptrain-punch map --tcp 7100 || code=$?
((code == 69))
unmapped 7100
SCRIPT
  says "PCP at 192.168.1.1: tcp 7100: NO_RESOURCES (8)"
  says "100.64.7.8 is one of a carrier's NAT"
  says "NAT-PMP at 192.168.1.1: Network Failure (3)"
  says "hint: ask the carrier for a public IPv4 address"
}
