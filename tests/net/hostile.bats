#!/usr/bin/env bats
# What strangers and peers that misbehave can cost: programs as people run them, attacked over raw
# sockets (attacker.py). ptrain-net(7), WHO CAN DO WHAT, has the bounds.
# shellcheck disable=SC2154  # bats sets stderr

load ../cli/helper
load ../cli/tiny_job
load shared_checkpoint

FORGE=${PTRAIN_BIN%/bin}/tests/forge_frame

teardown() {
  local pid
  [[ -z ${attack-} ]] || exec {attack}>&-
  [[ -z ${claim-} ]] || exec {claim}>&-
  for pid in $(jobs -p); do kill "$pid" 2>/dev/null || true; done
  wait
}

forge() { "$FORGE" "$@"; }

# serve [OPTION]...: a holder of source/ without keys; its pid in $holder, its port in $port
serve() { serve_with true "$@"; }

# serve_with COMMAND [OPTION]...: that command before it, in its shell
serve_with() {
  (
    eval "$1"
    exec ptrain-ckpt serve --dir source --listen tcp://127.0.0.1:0 "${@:2}"
  ) >serve.out 2>serve.err 3>&- &
  holder=$!
  eventually 60 test -s serve.out
  there=$(<serve.out)
  port=${there%%#*} port=${port##*:}
}

# attack WHAT [ARG]...: in the background, until the test ends; its report in attack.out
attack() {
  mkfifo hold
  python3 "$ROOT/tests/net/attacker.py" "$@" <hold >attack.out 2>attack.err 3>&- &
  exec {attack}>hold
  rm hold
}

reported() { eventually "${1:-60}" test -s attack.out; }
report() { jq -r "$1" attack.out; }
memory_kib() { awk '/^VmRSS:/ { print $2 }' "/proc/$1/status"; }
peak_kib() { awk '/^VmHWM:/ { print $2 }' "/proc/$1/status"; }

# tcp_endpoints: of two stages, in the file endpoints; $port is stage 0's
tcp_endpoints() {
  cp -r "$BATS_FILE_TMPDIR"/{data,job.toml} .
  python3 - >endpoints <<'PYTHON'
import socket
sockets = [socket.socket() for _ in range(2)]
for each in sockets:
    each.bind(("127.0.0.1", 0))
for each in sockets:
    print("tcp://127.0.0.1:%d" % each.getsockname()[1])
PYTHON
  port=$(head -n 1 endpoints) port=${port##*:}
}

# both [OPTION]...: two stages in the background, and their pids in stages
both() {
  stages=()
  local i
  for i in 0 1; do
    (
      eval "${LIMIT-}"
      stage "$i" --resume none "$@"
    ) >"stage-$i.out" 2>"stage-$i.err" 3>&- &
    stages+=($!)
  done
}

# ends CODE CODE: so the two stages end
ends() {
  local i code
  for i in 0 1; do
    code=0
    wait "${stages[i]}" || code=$?
    shift_code=${*:i+1:1}
    [ "$code" = "$shift_code" ] || { echo "stage $i ended with $code"; cat stage-*.err again.err 2>/dev/null; return 1; }
  done
}

# relay: one, and a ticket of it
relay() {
  cp -r "$BATS_FILE_TMPDIR"/{data,job.toml} .
  ptrain-relay serve --state relay --listen tcp://127.0.0.1:0 --data 0 --lease 5 --public-host 127.0.0.1 \
    >relay.out 2>relay.err 3>&- &
  eventually 60 test -s relay.out
  ptrain-relay ticket new --run hostile --relay "$(<relay.out)" -o ticket >/dev/null
}

# member I [OPTION]...: a stage of the ticket; with & or expect
member() {
  exec ptrain-stage run --job job.toml --ticket ticket --stages 2 --stage "$1" --key "key-$1" \
    --threads 1 "${@:2}"
}

# members [OPTION]...: both, in the background
members() {
  stages=()
  local i
  for i in 0 1; do
    (member "$i" --resume none "$@") >"stage-$i.out" 2>"stage-$i.err" 3>&- &
    stages+=($!)
  done
}

# claim [OPTION]...: a holder of the ticket that registers, until the test ends; says so in claim.out
claim() {
  mkfifo hold
  "${FORGE%/*}/forge_member" --ticket ticket --key key-forged "$@" <hold >claim.out 2>claim.err 3>&- &
  exec {claim}>hold
  rm hold
  eventually 60 grep -q '"registered":true' claim.out
}

# goes_on: the stages train, and go on to
goes_on() {
  local step
  step=$(tail -n 1 metrics.jsonl | jq .step)
  eventually 240 steps_done metrics.jsonl $((step + 200))
  kill -0 "${stages[0]}" "${stages[1]}"
}

fetch() { ptrain-ckpt fetch --from "$there" --dir copy --json; }

both_have_left() {
  ptrain-relay peers --state relay --json |
    jq -es 'map([.kind, .how]) == [["gone", "left"], ["gone", "left"]]' >/dev/null
}

# obeyed FILE: it holds a byte that a terminal obeys
obeyed() { LC_ALL=C grep -q $'[\x01-\x08\x0b-\x1f\x7f]' "$1"; }

# --- strangers ---

@test "a thousand connections leave a holder with descriptors to serve with" {
  local fetcher
  serve_with 'ulimit -n 1024' --rate 400000
  fetch >fetched 2>fetch.err 3>&- &
  fetcher=$!
  eventually 60 test -s serve.err  # a client has come
  attack flood "$port" 1100
  wait "$fetcher" || { cat fetch.err; return 1; }
  expect 0 ptrain-ckpt verify --data copy/latest
  expect 0 ptrain-ckpt fetch --from "$there" --dir another --timeout 120
}

@test "a thousand connections do not end a stage" {
  tcp_endpoints
  LIMIT='ulimit -n 1024' both --set train.steps=1000000 --metrics metrics.jsonl
  eventually 120 steps_done metrics.jsonl 3
  attack flood "$port" 1100
  reported
  goes_on
}

@test "half a handshake is held for seconds, and of its frame little" {
  local before
  export XDG_CONFIG_HOME=$PWD/config
  serve --anyone --key key
  before=$(memory_kib "$holder")
  attack half "$port" 200
  reported 120
  [ "$(jq -s '.[0].sent' attack.out)" = 200 ]
  (($(peak_kib "$holder") - before < 100000)) || { peak_kib "$holder"; echo "$before"; return 1; }
  eventually 90 grep -q closed_after_s attack.out
  jq -es '.[1] | .open == 0 and .closed_after_s < 20' attack.out || { cat attack.out; return 1; }
}

# --- whom a holder admits ---

@test "clients that claim another place take no seat" {
  local hellos=() i
  serve
  for ((i = 1; i <= 8; i++)); do hellos+=("$(forge hello --stages 2 --stage 7 --incarnation "$i")"); done
  attack fight "$port" "${hellos[@]}"
  reported
  sleep 0.5
  expect 0 fetch
}

@test "one address does not get every seat" {
  local hellos=() i
  serve
  for ((i = 1; i <= 12; i++)); do hellos+=("$(forge hello --stages 2 --incarnation "$i")"); done
  ATTACK_FROM=127.0.0.2 attack fight "$port" "${hellos[@]}"
  reported
  sleep 0.5
  expect 0 fetch
}

@test "one guest does not get every connection" {
  local hellos=() i
  serve
  for ((i = 1; i <= 60; i++)); do
    hellos+=("$(forge hello --stages 2 --stage 1 --bulk --link "$i" --incarnation 5)")
  done
  ATTACK_FROM=127.0.0.2 attack fight "$port" "${hellos[@]}"
  reported
  eventually 20 guests_have_at_most 18
  expect 0 fetch
}

guests_have_at_most() {
  (($(ss -Htn state established "( sport = :$port )" dst 127.0.0.2 | wc -l) <= $1))
}

@test "a message whose parts never end is cut off, at a holder and at who fetches" {
  local before fetcher peak
  serve
  before=$(memory_kib "$holder")
  attack endless "$port" 16
  reported 120
  [ "$(report .cut)" = true ] || { cat attack.out; return 1; }
  (($(peak_kib "$holder") - before < 120000)) || { peak_kib "$holder"; return 1; }
  expect 0 fetch

  exec {attack}>&-
  attack bait bait.port "$(forge hello --stages 2 --stage 0 --incarnation 3)" endless
  eventually 60 test -s bait.port
  ptrain-ckpt fetch --from "tcp://127.0.0.1:$(<bait.port)" --dir bad --timeout 5 >out 2>err 3>&- &
  fetcher=$!
  peak=0
  for ((i = 0; i < 30; i++)); do
    peak=$(peak_kib "$fetcher" 2>/dev/null || echo "$peak")
    sleep 0.1
  done
  ((peak < 200000)) || { echo "$peak"; return 1; }
}

@test "what was sent is not sent again for the asking" {
  local id
  serve --rate 1000000
  id=$(ptrain-ckpt ls --dir source --json | jq -r .id | tail -n 1)
  attack repeat "$port" 6 "$(forge hello --stages 2 --incarnation 5)" \
    "$(forge hello --bulk --stages 2 --incarnation 5)" "$(forge request --id "$id")" \
    "$(forge acknowledgement --control-next 0)"
  reported 120
  jq -e '.received < 20e6' attack.out || { cat attack.out; return 1; }
  expect 0 fetch
}

@test "who comes and goes again and again fills no log" {
  local hellos=() i
  serve
  for ((i = 1; i <= 100; i++)); do hellos+=("$(forge hello --stages 2 --incarnation "$i")"); done
  attack guests "$port" 2 "$(forge goodbye --left)" "${hellos[@]}"
  reported 240
  # What is kept back in a log counts by time.
  (($(report .rounds) > 50 && $(wc -l <serve.err) < 40 + $(report '.seconds * 2 / 5 | floor'))) ||
    { wc -l serve.err; cat attack.out; return 1; }
}

@test "what a peer says is no command to a terminal" {
  local evil=$'\e[2J\e]0;owned\a\r\nptrain-ckpt: all is well\x7f'
  serve
  attack fight "$port" "$(forge hello --run "$evil" --stages 2)"
  reported
  eventually 60 grep -q refused serve.err
  ! obeyed serve.err || { cat -v serve.err; return 1; }
  [ "$(grep -c '^ptrain-ckpt: all' serve.err)" = 0 ]

  exec {attack}>&-
  attack bait bait.port "$(forge hello --stages 2 --stage 0 --incarnation 3)" \
    "$(forge goodbye --reason "$evil")"
  eventually 60 test -s bait.port
  run --separate-stderr ptrain-ckpt fetch --from "tcp://127.0.0.1:$(<bait.port)" --dir bad --timeout 60
  [ "$status" != 0 ]
  printf '%s' "$stderr" >err
  grep -q owned err
  ! obeyed err || { cat -v err; return 1; }
  [ "$(grep -c '^ptrain-ckpt: all' err)" = 0 ]
}

# --- holders of a ticket ---

@test "who registers a stage that is taken ends no run, and a process that does is told" {
  relay
  members --set train.steps=1000000 --metrics metrics.jsonl --reconnect-timeout 3
  eventually 120 steps_done metrics.jsonl 3
  claim --role stage-0
  sleep 4
  goes_on
  local other
  for other in 1 9; do  # the same job, and another one
    expect 75 ptrain-stage run --job job.toml --ticket ticket --stages 2 --stage 0 \
      --key "key-new-$other" --threads 1 --peer-timeout 10 --resume none --set train.seed="$other"
    [[ $stderr =~ "another process has our place: end it, or this one; its key is "[0-9a-f]{64} ]] ||
      { show_output; return 1; }
    goes_on
  done
  grep -qE 'another process claims to be stage 0, and is not let in: key [0-9a-f]{64}' stage-1.err
}

@test "members that have ended are registered no longer" {
  relay
  members --set train.steps=5
  ends 0 0
  # What they said last may still be on its way.
  eventually 20 both_have_left || { ptrain-relay peers --state relay --json; return 1; }
}

@test "nobody is made to dial his own host" {
  relay
  attack watch visits
  eventually 60 test -s visits
  claim --role stage-0 --candidate "tcp://127.0.0.1:$(<visits)" \
    --candidate "tcp://localhost:$(<visits)"
  (member 1 --peer-timeout 60) >stage-1.out 2>stage-1.err 3>&- &
  eventually 60 grep -q met claim.out
  sleep 3
  [ "$(wc -l <visits)" = 1 ] || { cat visits; return 1; }
}

# --- endpoints ---

@test "a name is no address: not in brackets, and not because it begins with 127" {
  expect 2 ptrain-ckpt fetch --from "tcp://[name]:80#$(printf '%064d' 0)" --dir copy
  says "is no IPv6 address"
  expect 2 ptrain-ckpt fetch --from tcp://127.evil.test:80 --dir copy
  says "is not on this machine and has no key"
}

# --- what may fail without the rest ---

@test "who has few descriptors goes on with the connections that there are" {
  local i from=()
  serve
  for ((i = 1; i <= 8; i++)); do from+=(--from "tcp://127.0.0.1:$i"); done
  expect 0 bash -c 'ulimit -n 48; exec ptrain-ckpt fetch "$@"' fetch "${from[@]}" --from "$there" \
    --dir copy --timeout 20
}

@test "a frame's word for a message's size is worth no memory" {
  local fetcher peak=0 i
  attack bait bait.port "$(forge hello --stages 2 --stage 0 --incarnation 3)" \
    "$(forge data --message-bytes 134217728 --payload x)"
  eventually 60 test -s bait.port
  ptrain-ckpt fetch --from "tcp://127.0.0.1:$(<bait.port)" --dir bad --timeout 5 >out 2>err 3>&- &
  fetcher=$!
  for ((i = 0; i < 20; i++)); do
    peak=$(awk '/^VmPeak:/ { print $2 }' "/proc/$fetcher/status" 2>/dev/null || echo "$peak")
    sleep 0.1
  done
  ((peak > 0 && peak < 250000)) || { echo "$peak"; return 1; }
}

@test "a stage's word for a message without end is cut off, and ends nobody" {
  local victim
  tcp_endpoints
  both --set train.steps=1000000 --metrics metrics.jsonl
  eventually 120 steps_done metrics.jsonl 3
  victim=$(memory_kib "${stages[0]}")
  attack endless "$port" 16
  reported 120
  [ "$(report .cut)" = true ] || { cat attack.out; return 1; }
  (($(peak_kib "${stages[0]}") - victim < 120000))
  kill -0 "${stages[0]}" "${stages[1]}"
}

# It was killed, and started again in its old place: the job's business, and nobody's damage.
@test "a stage that its neighbour knows from before ends with 69" {
  tcp_endpoints
  attack bait bait.port "forge:$FORGE:0:61"
  eventually 60 test -s bait.port
  sed -i "1s/:[0-9]*$/:$(<bait.port)/" endpoints
  expect 69 bash -c 'exec ptrain-stage run --job job.toml --endpoints endpoints --stage 1 --threads 1'
  says "an earlier process of ours"
}
