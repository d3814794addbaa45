# The laboratory: who reaches whom, and that nothing of it is left.
# shellcheck shell=bash disable=SC2154

load helper.bash

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  LAB=$RECIPES/lab/lab.sh
}

# in_lab SCRIPT: what both sides of a connection need is written in one line
LISTEN='socat -u TCP-LISTEN:7000,reuseaddr,fork SYSTEM:"cat >>heard"'
SAY='socat -u - TCP:ADDRESS:7000,connect-timeout=2'

@test "hosts reach the public host, and nobody reaches a host" {
  cat >script <<SCRIPT
on p1 $LISTEN & on h2 $LISTEN &
sleep 0.5
echo from-h1 | on h1 ${SAY/ADDRESS/11.0.0.11} || exit 3
echo from-p1 | on p1 ${SAY/ADDRESS/11.0.0.102} && exit 4
echo from-h1 | on h1 ${SAY/ADDRESS/11.0.0.102} && exit 5
echo from-p1 | on p1 ${SAY/ADDRESS/192.168.2.2} && exit 6
exit 0
SCRIPT
  expect 0 "$LAB" --hosts 2 --public 1 -- bash ./script
  [ "$(cat heard)" = from-h1 ]
}

@test "a host appears at its router's address, under one port for every destination" {
  cat >script <<'SCRIPT'
for public in p1 p2; do
  on $public socat -u UDP-LISTEN:9000 SYSTEM:'echo $SOCAT_PEERADDR $SOCAT_PEERPORT >>seen' &
done
sleep 0.5
echo a | on h1 socat -u - UDP:11.0.0.11:9000,sourceport=5000
echo b | on h1 socat -u - UDP:11.0.0.12:9000,sourceport=5000
sleep 0.5
SCRIPT
  expect 0 "$LAB" --hosts 1 --public 2 -- bash ./script
  [ "$(sort -u seen)" = '11.0.0.101 5000' ]
  [ "$(wc -l <seen)" -eq 2 ]
  rm seen
  expect 0 "$LAB" --hosts 1 --public 2 --nat symmetric -- bash ./script
  [ "$(sort -u seen | wc -l)" -eq 2 ]
}

@test "links have the rate that was asked for" {
  expect 0 "$LAB" --hosts 1 --rate 20mbit -- on router1 tc qdisc show
  prints 'rate 20Mbit'
  [ "$(grep -c tbf <<<"$output")" -eq 2 ]
}

@test "the command's exit code is the laboratory's, and SIGTERM reaches it" {
  expect 7 "$LAB" --hosts 0 -- bash -c 'exit 7'
  "$LAB" --hosts 0 -- bash -c 'trap "echo told >said; exit 5" TERM; echo >up; sleep 60 & wait' &
  local lab=$! code=0
  eventually 20 test -f up
  kill -TERM "$lab"
  wait "$lab" || code=$?
  [ "$code" -eq 5 ]
  [ "$(cat said)" = told ]
}

@test "nothing is left of a laboratory that was killed" {
  "$LAB" --hosts 1 -- bash -c 'on h1 sleep 86399 & echo >up; wait' 3>&- &
  local lab=$!
  eventually 20 test -f up
  eventually 20 pgrep -f '^sleep 86399$'
  kill -KILL "$lab"
  gone() { ! pgrep -f '^sleep 86399$'; }
  eventually 20 gone
  [ ! -e /run/netns/h1 ]
}

@test "wrong options are usage errors" {
  expect 2 "$LAB"
  expect 2 "$LAB" --nat round -- true
  says 'round'
  expect 2 "$LAB" --rate fast -- true
  expect 2 "$LAB" --hosts 65 -- true
  expect 2 "$LAB" --hosts 1 -- on h2 true
  says h2
}
