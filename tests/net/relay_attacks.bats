#!/usr/bin/env bats
# What strangers, members and liars do to a relay that is a process of its own: it goes on serving
# the others, within its memory. relay_attacker comes from as many addresses of 127.0.0.0/8 as it takes.

load ../cli/helper

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  beside=()  # what the attacker runs under
}

teardown() {
  local pid
  # What is stuck, as relays were, does not end otherwise, and the test would not either.
  for pid in $(jobs -p); do kill -KILL "$pid" 2>/dev/null || true; done
  wait
}

# serve [OPTION]...: a relay; its pid in $relay, its word in $word
serve() {
  ptrain-relay serve --state state --listen tcp://127.0.0.1:0 --data 0 "$@" >out 2>err 3>&- &
  relay=$!
  eventually 60 test -s out
  word=$(head -n 1 out)
  [[ $word != "{"* ]] || word=$(jq -r .relay <<<"$word")
}

# serve_preloaded LIBRARY
serve_preloaded() {
  local -x LD_PRELOAD=$1
  serve
}

# serve_unread: a relay whose events go to descriptor 5, of which only the first is read
serve_unread() {
  local line
  mkfifo events
  exec 5<>events
  ptrain-relay serve --state state --listen tcp://127.0.0.1:0 --data 0 --json >&5 2>err 3>&- &
  relay=$!
  read -r line <&5
  word=$(jq -r .relay <<<"$line")
}

# serve_ipv6 [OPTION]...: a relay on a net of its own, where all of 2001:db8::/32 is here
serve_ipv6() {
  # shellcheck disable=SC2016  # its own
  unshare --map-root-user --net sh -c '
    ip link set lo up
    ip -6 route add local 2001:db8::/32 dev lo
    echo 1 >/proc/sys/net/ipv6/ip_nonlocal_bind
    exec ptrain-relay serve --state state --listen "tcp://[2001:db8::1]:0" --data 0 "$@"' serve "$@" \
    >out 2>err 3>&- &
  relay=$!
  eventually 60 test -s out
  word=$(head -n 1 out)
  beside=(nsenter --preserve-credentials --user --net --target "$relay")
}

ATTACKER=${PTRAIN_BIN%/bin}/tests/relay_attacker

attacker() { "${beside[@]}" "$ATTACKER" "$@"; }

# attacks ACTION [NAME=VALUE]...: in the background, done when it has said so
attacks() {
  local action=$1
  shift
  exec "${beside[@]}" "$ATTACKER" "$action" "$word" "$@" hold=60 >"$action.out" 2>&1 3>&- &
  eventually 240 test -s "$action.out"
}

rss_kib() { awk '/^VmRSS/ {print $2}' "/proc/$relay/status"; }
# has_grown_less KIB: since it was $before
has_grown_less() { (($(rss_kib) - before < $1)); }

# figures: all of one moment, from the metrics port
figures() {
  exec 4<>"/dev/tcp/127.0.0.1/$(head -n 1 out | jq -r .metrics_port)"
  printf 'GET / HTTP/1.0\r\n\r\n' >&4
  cat <&4
  exec 4<&-
}

# figure NAME: of those on stdin
figure() { awk -v name="ptrain_relay_$1" '$1 == name {print $2}'; }

@test "sixteen keys do not lock their address out of a relay" {
  serve
  attacks hoard keys=16 roles=64 from=127.0.0.9
  [ "$(jq .granted hoard.out)" = 1024 ]
  expect 0 attacker join "$word" from=127.0.0.9
  expect 0 attacker join "$word" from=127.0.0.10
}

@test "an address that fills the table makes room for others" {
  serve --max-peers 256
  attacks hoard keys=4 roles=64 from=127.0.0.9
  expect 0 attacker join "$word" from=127.0.0.10
}

# Counted one by one, each of its addresses had as much of the table as a newcomer gets.
@test "a /64 of IPv6 is one address, however many of its addresses come" {
  serve_ipv6 --max-peers 256
  attacks hoard keys=32 roles=8 from='[2001:db8:0:1::{}]'
  [ "$(jq .granted hoard.out)" = 256 ]
  expect 0 attacker hoard "$word" keys=1 roles=60 from='[2001:db8:0:2::1]'
  [ "$(jq .granted <<<"$output")" = 60 ]
}

@test "whoever takes all tokens leaves some to others" {
  serve
  attacks seize keys=132 connect=0 from=127.0.0.9
  jq -e '.tokens == 65536' seize.out
  expect 0 attacker pair "$word" from=127.0.0.21 to=127.0.0.22
}

@test "whoever takes all places of the data port leaves some to others" {
  serve
  attacks seize keys=24 from=127.0.0.9
  jq -e '2 * .joined == 2048' seize.out || { cat seize.out; return 1; }
  expect 0 attacker pair "$word" from=127.0.0.21 to=127.0.0.22
}

@test "connections count after a refusal, too" {
  serve --json --metrics 0
  attacks refused connections=400 from=127.0.0.9
  figures >told
  local connections waiting
  connections=$(figure control_connections <told)
  waiting=$(figure control_connections_waiting <told)
  ((connections - waiting <= 130 && connections <= 400)) ||
    { echo "$connections connections, $waiting waiting"; return 1; }
  expect 0 attacker join "$word" from=127.0.0.9
  expect 0 attacker join "$word" from=127.0.0.10
}

@test "messages that never end take little memory" {
  serve
  expect 0 attacker join "$word"
  local before
  before=$(rss_kib)
  attacks gush connections=150 bytes=$((1 << 20)) from=127.0.0.9
  sleep 1
  eventually 20 has_grown_less $((48 * 1024)) || { echo "$(($(rss_kib) - before)) KiB more"; return 1; }
  expect 0 attacker join "$word" from=127.0.0.9
}

@test "a relay whose events nobody reads goes on, and says how many were lost" {
  serve_unread
  attacker flood "$word" requests=16000 >flood.out
  expect 0 attacker join "$word"
  cat <&5 >read.out 3>&- &
  eventually 60 attacker join "$word"
  eventually 60 grep -q '"kind":"dropped"' read.out
  exec 5<&-
}

@test "a storm of signals ends nobody" {
  printf '%s\n' "peer *" "run *" >allow
  serve --allow-file allow
  exec "$ATTACKER" flood "$word" requests=6000 >flood.out 3>&- &
  expect 0 attacker storm "$word" pid="$relay" seconds=5
  kill "$relay"
  local code=0
  wait "$relay" || code=$?
  [ "$code" = 143 ] || { echo "exit code $code"; cat err; return 1; }
}

@test "a relay whose data port dies ends, and says so" {
  serve_preloaded "$(dirname "$PTRAIN_BIN")/tests/libfail_epoll.so"
  expect 0 attacker join "$word"
  touch fail-epoll
  eventually 60 gone "$relay" || { echo "it goes on"; return 1; }
  local code=0
  wait "$relay" || code=$?
  [ "$code" = 74 ] || { echo "exit code $code"; cat err; return 1; }
  grep -q "error: the data port has ended: " err
}

# Of a slow core it is more, but less than twice what those take who are told, on the same one.
@test "a thousand members that watch a run change cost a twentieth of a core" {
  serve --lease 600  # nobody expires, however long it takes them to come
  expect 0 attacker watch "$word" members=1000 seconds=10 pid="$relay"
  echo "$output"
  jq -e '.told_per_change > 990 and .cpu_share < ([0.05, 2 * .members_cpu_share] | max)' <<<"$output"
}

@test "as much as a relay may hold takes the memory that its manual says" {
  serve --lease 600  # nobody renews
  expect 0 attacker fill "$word" members=10000 streams=2000 pid="$relay"
  echo "$output"
  jq -e '.registrations == 10000 and .spliced >= 4000 and .rss_kib < 1024 * 256' <<<"$output"
}

# A round trip between members over links of 5 ms takes 20. In a minute of every change, and in an hour
# of a night (tests/nightly.sh).
@test "beside abuse from 200 addresses a pair loses nothing and waits no longer" {
  local seconds=${PTRAIN_ABUSE_SECONDS:-60}
  expect 0 "$RECIPES/lab/lab.sh" --hosts 1 --public 2 --delay 5 -- \
    "$ROOT/tests/net/relay_abuse_scenario.sh" --seconds "$seconds"
  echo "$output"
  jq -e --argjson seconds "$seconds" '.lost == 0 and .round_trips > 10 * $seconds
    and .abused_ms < 1.1 * .quiet_ms and .abused_request_ms < 1.5 * .quiet_request_ms
    and .late_comer_served and .rss_kib - .rss_kib_before < 1024 * 128' <<<"$output"
  ((seconds < 300)) || echo "# $output" >&3
}
