# The laboratory: who reaches whom, and that nothing of it is left.
# shellcheck shell=bash disable=SC2154

load helper.bash

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  LAB=$RECIPES/lab/lab.sh
  # What the scripts inside begin with: words to wait for both sides of a connection.
  cat >words <<'WORDS'
within_a_minute() {
  local i
  for ((i = 0; i < 1200; i++)); do
    if "$@"; then return; fi
    sleep 0.05
  done
  echo "never came true: $*" >&2
  exit 99
}
# has_socket HOST WORD...: ss(8) shows one there
has_socket() { [ -n "$(on "$1" ss -Hn "${@:2}")" ]; }
# listens HOST tcp|udp PORT
listens() { within_a_minute has_socket "$1" --listening "--$2" "sport = $3"; }
# lines N FILE: it has so many
lines() { [ "$(cat "$2" 2>/dev/null | wc -l)" -eq "$1" ]; }
WORDS
}

# in_lab SCRIPT: what both sides of a connection need is written in one line
LISTEN='socat -u TCP-LISTEN:7000,reuseaddr,fork SYSTEM:"cat >>heard"'
SAY='socat -u - TCP:ADDRESS:7000,connect-timeout=2'

@test "hosts reach the public host, and nobody reaches a host" {
  cat >script <<SCRIPT
. ./words
on p1 $LISTEN & on h2 $LISTEN &
listens p1 tcp 7000
listens h2 tcp 7000
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
. ./words
for public in p1 p2; do
  on $public socat -u UDP-LISTEN:9000 SYSTEM:'echo $SOCAT_PEERADDR $SOCAT_PEERPORT >>seen' &
  listens $public udp 9000
done
echo a | on h1 socat -u - UDP:11.0.0.11:9000,sourceport=5000
echo b | on h1 socat -u - UDP:11.0.0.12:9000,sourceport=5000
within_a_minute lines 2 seen
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
  eventually 60 test -f up
  kill -TERM "$lab"
  wait "$lab" || code=$?
  [ "$code" -eq 5 ]
  [ "$(cat said)" = told ]
}

# told SIGNAL CODE LAB-OPTION...: a process group that gets SIGNAL leaves in order, with CODE, and what
# keeps the laboratory together lasts until it has
told() {
  local signal=$1 expected=$2
  shift 2
  rm -f up left
  # shellcheck disable=SC2016  # the laboratory's bash
  setsid env --default-signal=INT "$LAB" "$@" -- bash -c '
    trap "sleep 1; on h1 ping -qnc 1 -W 20 11.0.0.11 >left; exit 143" TERM INT
    echo >up; for i in {1..300}; do sleep 0.1; done' 3>&- &
  local lab=$! code=0
  eventually 60 test -f up
  kill -s "$signal" -- "-$lab"
  wait "$lab" || code=$?
  [[ $code -eq $expected ]] || { echo "$signal: code $code, expected $expected"; return 1; }
  grep -q ' 1 received' left
}

@test "a signal to its whole process group takes nothing from the command before it has left" {
  told TERM 143 --hosts 1
  told INT 130 --hosts 1
  told HUP 129 --hosts 1
  told TERM 143 --hosts 1 --delay 5
}

@test "nothing is left of a laboratory that was killed" {
  "$LAB" --hosts 1 -- bash -c 'on h1 sleep 86399 & echo >up; wait' 3>&- &
  local lab=$!
  eventually 60 test -f up
  eventually 60 pgrep -f '^sleep 86399$'
  kill -KILL "$lab"
  gone() { ! pgrep -f '^sleep 86399$'; }
  eventually 60 gone
  [ ! -e /run/netns/h1 ]
}

# round_trip_ms LAB-OPTION...: the shortest of twenty from h1 to p1, in whole milliseconds
round_trip_ms() {
  "$LAB" "$@" -- on h1 ping -n -c 20 -i 0.05 11.0.0.11 | sed -n 's/^rtt [^=]*= \([0-9]*\)\..*/\1/p'
}

# within LOWEST HIGHEST VALUE
within() { (($3 >= $1 && $3 <= $2)) || { echo "$3 is not within $1 and $2"; return 1; }; }

# arrived LAB-OPTION...: which of the first 300 pings from h1 to p1 were answered, a number a line.
# As many and more come after them: ping does not wait for the last answers where they are late.
arrived() {
  "$LAB" --hosts 1 "$@" -- on h1 ping -n -c 900 -i 0.002 -W 1 11.0.0.11 |
    sed -n 's/.*icmp_seq=\([0-9]*\) .*/\1/p' | awk '$1 <= 300'
}

# On a busy machine a packet is late, but the best of twenty hardly; and a delay that is taken twice,
# or another host's, is further off.
@test "a link is as long as its delay says, each way, and one's own setting goes first" {
  within 40 75 "$(round_trip_ms --hosts 1 --delay 20)"
  within 0 35 "$(round_trip_ms --hosts 1)"
  within 0 35 "$(round_trip_ms --delay 200 --link h1=delay:0)"
  within 60 85 "$(round_trip_ms --hosts 1 --delay 7.5 --link p1=delay:22.5)"
}

# What goes one way alone tells the ways apart: p1 hears at 40 ms more what h1 says, and answers at once.
@test "a link may be longer, and lose more, one way than the other" {
  within 60 95 "$(round_trip_ms --hosts 1 --delay 20 --link h1=delay-up:40)"
  cat >script <<'SCRIPT'
. ./words
on p1 socat -u UDP-RECV:9000 OPEN:up,creat,append &
on h1 socat -u UDP-RECV:9000 OPEN:down,creat,append &
listens p1 udp 9000
listens h1 udp 9000
for i in {1..20}; do echo "$i" | on h1 socat -u - UDP:11.0.0.11:9000,sourceport=9001; done
for i in {1..20}; do echo "$i" | on p1 socat -u - UDP:11.0.0.101:9000; done
within_a_minute lines 20 "$1"
cat up down | wc -l
SCRIPT
  expect 0 "$LAB" --hosts 1 --nat open --link h1=loss-down:100 -- bash ./script up
  prints 20
  rm up
  expect 0 "$LAB" --hosts 1 --nat open --link h1=loss-up:100 -- bash ./script down
  prints 20
}

@test "a link loses as much as it should, and the same packets with the same seed" {
  arrived --loss 10 >first
  within 200 280 "$(wc -l <first)"  # 81 % come through both ways: 243
  arrived --loss 10 --delay 3 >again
  diff first again
  arrived --loss 10 --seed 2 >other
  run ! diff -q first other
  [ "$(arrived --loss 100 | wc -l)" -eq 0 ]
}

@test "jitter makes packets late and leaves their order" {
  "$LAB" --hosts 1 --delay 5 --jitter 20 -- on h1 ping -n -c 300 -i 0.01 11.0.0.11 >said
  # The last ones may be later than ping waits.
  sed -n 's/.*icmp_seq=\([0-9]*\) .*time=\([0-9]*\).*/\1 \2/p' said | head -n 200 >seen
  [ "$(wc -l <seen)" -eq 200 ]
  sort -nc seen
  within 10 25 "$(cut -d' ' -f2 seen | sort -n | head -n 1)"
  within 30 1000 "$(cut -d' ' -f2 seen | sort -n | tail -n 1)"
}

@test "TCP gets everything through a long link, no faster than its rate" {
  head -c 1000000 /dev/urandom >sent
  cat >script <<'SCRIPT'
. ./words
on p1 socat -u TCP-LISTEN:7000,reuseaddr OPEN:got,creat,trunc &
listens p1 tcp 7000
begin=${EPOCHREALTIME/./}
on h1 socat -u OPEN:sent TCP:11.0.0.11:7000
wait
echo "$(((${EPOCHREALTIME/./} - begin) / 1000))" >took_ms
SCRIPT
  expect 0 "$LAB" --hosts 1 --delay 5 --jitter 2 --loss 0.5 --link h1=up:8mbit,queue:200 -- bash ./script
  cmp sent got
  within 950 60000 "$(<took_ms)"
  expect 0 "$LAB" --hosts 1 --delay 5 --link h1=down:1mbit -- bash ./script
  cmp sent got
}

@test "hosts behind long links have their NATs as before" {
  cat >script <<SCRIPT
. ./words
on h2 $LISTEN &
on p1 socat -u UDP-LISTEN:9000 SYSTEM:'echo \$SOCAT_PEERADDR \$SOCAT_PEERPORT >seen' &
listens h2 tcp 7000
listens p1 udp 9000
echo from-p1 | on p1 ${SAY/ADDRESS/11.0.0.102} && exit 4
echo a | on h1 socat -u - UDP:11.0.0.11:9000,sourceport=5000
within_a_minute lines 1 seen
SCRIPT
  expect 0 "$LAB" --hosts 2 --delay 5 -- bash ./script
  [ "$(<seen)" = '11.0.0.101 5000' ]
}

@test "traffic of others has its rate, both ways through a router, and loses what the link cannot carry" {
  local way sent arrived
  for way in 'h1 p1' 'p1 h1'; do
    # shellcheck disable=SC2086  # two hosts
    expect 0 "$LAB" --hosts 1 -- traffic $way 2mbit 3
    read -r _ sent _ arrived <<<"$output"
    within 200 1000 "$sent"  # 604 on the average; a busy machine sends fewer
    within $((sent * 8 / 10)) "$sent" "$arrived"
  done
  expect 0 "$LAB" --hosts 1 --link h1=up:500kbit -- traffic h1 p1 20mbit 3
  read -r _ sent _ arrived <<<"$output"
  within 1 $((sent / 2)) "$arrived"
  expect 2 "$LAB" --hosts 2 -- traffic h1 h2 1mbit 1
  says 'h1 and h2'
  expect 2 "$LAB" --hosts 2 -- traffic h1 p1 1000mbit 1
  says '1000mbit'
}

@test "a public host's link has a rate where it was given one" {
  expect 0 "$LAB" --hosts 0 --link p1=up:3mbit -- on p1 tc qdisc show
  prints 'rate 3Mbit'
}

@test "TCP's congestion control is cubic, or as asked, whatever the machine's is" {
  cat >script <<'SCRIPT'
. ./words
on p1 socat -u TCP-LISTEN:7000,reuseaddr,fork SYSTEM:'sleep 600' &
listens p1 tcp 7000
on h1 socat -u EXEC:'sleep 600' TCP:11.0.0.11:7000 &
within_a_minute has_socket h1 --tcp state established 'dport = 7000'
within_a_minute has_socket p1 --tcp state established 'sport = 7000'
on h1 ss -Htin 'dport = 7000'
on p1 ss -Htin 'sport = 7000'
SCRIPT
  expect 0 "$LAB" --hosts 1 -- bash ./script
  [ "$(grep -c cubic <<<"$output")" -eq 2 ]
  expect 0 "$LAB" --hosts 1 --congestion reno -- bash ./script
  [ "$(grep -c reno <<<"$output")" -eq 2 ]
}

@test "a program gets another congestion control only in a laboratory that is unlocked" {
  cat >script <<'SCRIPT'
. ./words
on p2 python3 -c '
import socket
with socket.create_server(("11.0.0.12", 7000)) as server: server.accept()[0].recv(1)' &
listens p2 tcp 7000
on p1 python3 -c '
import socket
chosen = socket.create_connection(("11.0.0.12", 7000))
try:
    chosen.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
except PermissionError:
    pass
print(chosen.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16))'
SCRIPT
  expect 0 "$LAB" --hosts 0 --public 2 -- bash ./script
  prints cubic
  expect 0 "$LAB" --hosts 0 --public 2 --unlocked -- bash ./script
  prints reno
}

@test "nothing is left of long links either" {
  "$LAB" --hosts 2 --delay 5 --seed 868686868 -- bash -c 'echo >up; sleep 86398' 3>&- &
  local lab=$!
  eventually 60 test -f up
  [ "$(pgrep -fc '^[^ ]*lab-link .*--seed 868686868')" -eq 2 ]
  kill -KILL "$lab"
  links_gone() { ! pgrep -f 'seed 868686868'; }
  eventually 60 links_gone
  [ ! -e /sys/class/net/to-router1 ]
  [ ! -e /sys/class/net/at-router1 ]
}

@test "long links without their program are refused with the remedy" {
  PTRAIN_BIN=$BATS_TEST_TMPDIR expect 69 "$LAB" --delay 5 -- true
  says 'lib/ptrain/lab-link'
  says 'cmake'
  PTRAIN_BIN=$BATS_TEST_TMPDIR expect 0 "$LAB" --rate 5mbit -- true
}

@test "values that a link cannot have are refused by name" {
  local words
  while read -r words; do
    # shellcheck disable=SC2086  # an option and its value
    expect 2 "$LAB" $words -- true
    says "${words#* }"
  done <<'WRONG'
--delay soon
--delay -1
--delay 10001
--delay 10000.1
--jitter 1e3
--jitter 10001
--loss 101
--loss 100.5
--loss 1%
--queue 0
--queue 10001
--rate 0mbit
--seed 1000000000
--congestion hope
--link h3=delay:5
--link p2=delay:5
--link h1
--link h1=
--link h1=delay
--link h1=color:5
--link h1=rate:fast
--link h1=loss:200
--link h1=loss-up:200
--link h1=delay-left:5
--nat h3=symmetric
--nat p1=symmetric
--nat port-restricted,,hairpin
--nat symmetric,fast
--nat symmetric,hairpin
--nat open,port-mapping
--nat h1=
--share h1
--share h1,h3
--share h1,h2,h2
--share p1,h1
--link h1=delay:5,,loss:1
WRONG
  expect 0 "$LAB" --hosts 0 --public 0 --delay 10000 --loss 100.0 --queue 10000 --jitter 0 -- true
}

@test "values that its router cannot have are refused, too" {
  expect 2 "$LAB" --share h1,h2 --nat h1=open -- true
  says 'h1 is open'
  expect 2 "$LAB" --hosts 3 --share h1,h2 --share h3,h2 -- true
  says 'h2 already lives with h1'
  expect 2 "$LAB" --share h1,h2 --nat h2=symmetric -- true
  says 'h2 has the router and the link of h1'
  expect 2 "$LAB" --share h1,h2 --link h2=delay:5 -- true
  says 'h2 has the router and the link of h1'
  expect 1 "$LAB" --public 27 --hosts 1 -- router p27 readdress
  says "p27 cannot have 11.0.0.101, which is another's"
}

@test "words of the laboratory that it does not know are refused by name" {
  local wrong words
  while read -r wrong words; do
    # shellcheck disable=SC2086  # words
    expect 2 "$LAB" --hosts 2 --nat h2=open -- $words
    says "$wrong"
  done <<'WRONG'
h3 router h3 off
h2 router h2 rebind
dance router h1 dance
udp router h1 forget udp
70000 router h1 forget udp 70000
icmp router h1 forget icmp 7
soon router h1 reboot soon
h3 address h3
p1 address --home p1
h3 on h3 true
WRONG
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
