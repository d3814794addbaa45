#!/usr/bin/env bats
# Direct paths through two NATs, in the laboratory: between hosts that find each other by a ticket.
# punch_matrix.sh has all pairs of classes.
# shellcheck disable=SC2154  # bats sets stderr, output and status

load ../cli/helper

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  export HOME=$PWD/home XDG_STATE_HOME=$PWD/state
  unset XDG_CONFIG_HOME PTRAIN_OUTSIDE_FILE
  mkdir home
}

# in_lab OPTION... : the script on standard input, with a relay on p1 and its ticket, and the word
# listens HOST, for one that is called like its host
in_lab() {
  {
    cat <<SCRIPT
. '$ROOT/tests/waits.bash'
on p1 ptrain-relay serve --state relay --listen tcp://0.0.0.0:7100 --public-host 11.0.0.11 >word 2>relay.log &
within test -s word
ptrain-relay ticket new --run punch --relay "\$(head -n 1 word)" --out ticket >ticket.txt
listens() {
  on "\$1" ptrain-punch listen --ticket ticket --key "\$1.key" --name "\$1" "\${@:2}" >"listen-\$1" 2>"listen-\$1.log" &
  within test -s "listen-\$1"
}
dials() { on "\$1" ptrain-punch dial "\$2" --ticket ticket --key "\$1.key" "\${@:3}"; }
SCRIPT
    cat
  } >script.bash
  run --separate-stderr timeout 300 "$RECIPES/lab/lab.sh" "$@" -- bash -eu script.bash
  ((status == 0)) || { show_output; tail -n 20 ./*.log; return 1; }
}

@test "pairs of NATs are passed that can be passed without a guess, and the others are relayed" {
  expect 0 "$ROOT/tests/net/punch_matrix.sh" --trials 2 --pairs "open:carrier,full-cone:symmetric,\
address-restricted:address-restricted,address-restricted:symmetric,port-restricted:port-restricted,\
port-restricted:symmetric,port-restricted:no-udp,carrier:carrier"
  echo "$output" >&3
}

@test "what was tried is explained, as text and as JSON" {
  in_lab --hosts 3 --nat h3=symmetric <<'SCRIPT'
listens h1
dials h2 h1 --explain >direct
dials h2 h1 --explain --json >direct.json
code=0
dials h3 h1 --explain --json --timeout 7 >relayed.json 2>relayed.err || code=$?
((code == 1))
code=0
dials h3 nobody --timeout 2 2>nobody.err || code=$?
((code == 69))
SCRIPT
  grep -q '^# outside *11\.0\.0\.101:[0-9]* *connected, after [0-9]* ms$' direct ||
    grep -q '^# reversed *11\.0\.0\.101:[0-9]* *connected' direct
  grep -qE '^tcp://0\.0\.0\.0:[0-9]+;11\.0\.0\.101:[0-9]+#[0-9a-f]{64}$' direct
  jq -es 'map(select(.kind == "path")) | length == 1 and .[0].route == "punched" and .[0].rtt_s > 0' direct.json
  jq -es 'map(select(.kind == "nat"))[0].mapping == "endpoint-independent"' direct.json
  jq -es 'map(select(.kind == "path"))[0].route == "relayed"' relayed.json
  jq -es 'map(select(.kind == "nat"))[0].mapping == "address-and-port-dependent"' relayed.json
  jq -es 'map(select(.kind == "rung")) | length > 0 and all(.outcome != "connected")' relayed.json
  grep -q 'through a relay only' relayed.err
  grep -q 'nobody was not reached within 2 s' nobody.err
}

@test "hosts of one home meet on its own net, and the way out is not needed" {
  in_lab --hosts 2 --share h1,h2 <<'SCRIPT'
listens h1
dials h2 h1 --json --explain >found
SCRIPT
  jq -es 'map(select(.kind == "path"))[0] | .route == "punched" and (.endpoint | contains("192.168.1."))' found
}

@test "with a port that a router maps, every pair is direct" {
  expect 0 "$ROOT/tests/net/punch_matrix.sh" --mapped --trials 1 --pairs "symmetric:symmetric,symmetric:carrier"
}

@test "where IPv6 goes through, it is enough" {
  in_lab --hosts 2 --ipv6 --nat symmetric <<'SCRIPT'
listens h1
dials h2 h1 --json --explain >found
SCRIPT
  jq -es 'map(select(.kind == "path"))[0] | .route == "punched" and (.endpoint | contains("["))' found
}

@test "the same NATs are passed again after they have rebooted, with other ports" {
  in_lab --hosts 2 <<'SCRIPT'
listens h1 --json
dials h2 h1 --json >first
router h1 rebind
router h2 reboot 0
dials h2 h1 --json >second
SCRIPT
  jq -es 'map(select(.kind == "path"))[0].route == "punched"' first second
}

@test "two hundred changes between relayed and punched paths lose nothing" {
  run --separate-stderr timeout 300 "$RECIPES/lab/lab.sh" --public 2 -- \
    "$ROOT/tests/net/nothing_lost_scenario.sh" --count 40000 --pause-us 500 --flips 100 --punch --relays 1
  ((status == 0)) || { show_output; return 1; }
  jq -es 'map(select(.received)) | length == 2 and all(.lost == 0 and .doubled == 0 and .damaged == 0
    and .sent == .received and .drained) and (map(.path_changes) | add) >= 200' <<<"$output" ||
    { echo "$output"; return 1; }
}

@test "who is no member reaches the port and gets nothing" {
  in_lab --hosts 1 --nat open <<'SCRIPT'
listens h1 --port 7200 --port 7201
head -c 200 /dev/urandom >noise
on p1 bash -c 'exec 3<>/dev/tcp/11.0.0.101/7200; cat noise >&3; timeout 10 cat <&3' >heard || true
on p1 bash -c 'exec 3<>/dev/tcp/11.0.0.101/7201; timeout 10 cat <&3' >>heard || true
test ! -s heard
SCRIPT
}
