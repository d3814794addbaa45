#!/usr/bin/env bats
# ptrain-relay as a person uses it: serve, tickets, who is there.

load helper

setup() { cd "$BATS_TEST_TMPDIR" || return; }

teardown() {
  local pid
  for pid in $(jobs -p); do kill "$pid" 2>/dev/null || true; done
  wait
}

# serve NAME [OPTION]...: a relay with the state folder NAME, and its pid in $relay
serve() {
  local name=$1
  shift
  ptrain-relay serve --state "$name" --listen tcp://127.0.0.1:0 --data 0 "$@" >"$name.out" 2>"$name.err" 3>&- &
  relay=$!
  eventually 20 test -s "$name.out"
}

# ends CODE: the relay ends with that code
ends() {
  local code=0
  wait "$relay" || code=$?
  [ "$code" = "$1" ] || { echo "exit code $code"; cat ./*.err; return 1; }
}

field() { jq -r "$1" <<<"$output"; }

WORD="tcp://relay.example.net:7100#$(printf '%064d' 0 | tr 0 a),data=7101"

@test "the line that serve prints makes a ticket" {
  serve state --public-host relay.example.net
  [[ $(<state.out) =~ ^tcp://relay\.example\.net:[0-9]+#[0-9a-f]{64},data=[0-9]+$ ]]
  expect 0 ptrain-relay ticket new --run alice --relay "$(<state.out)" -o alice.ticket
  prints "$(<state.out)"
  kill "$relay"
  ends 143
}

@test "a ticket's file is private, and shown without its secret" {
  expect 0 ptrain-relay ticket new --run alice --relay "$WORD" --relay "$WORD" --expires 2h -o t --json
  [ "$(stat -c %a t)" = 600 ]
  local id secret
  id=$(field .run_id)
  secret=$(sed -n 's/^secret //p' t)
  [ ${#secret} = 64 ]
  expect 0 ptrain-relay ticket show t --json
  [ "$(field .run_id)" = "$id" ]
  [ "$(field .run)" = alice ]
  [ "$(field '.relays | length')" = 2 ]
  [ "$(field .expired)" = false ]
  expect 0 ptrain-relay ticket show t
  prints "run id   $id"
  [[ $output != *"$secret"* ]]
}

@test "two tickets of one name are two runs" {
  ptrain-relay ticket new --run alice --relay "$WORD" -o one --json >one.json
  ptrain-relay ticket new --run alice --relay "$WORD" -o two --json >two.json
  [ "$(jq .run_id one.json)" != "$(jq .run_id two.json)" ]
}

@test "a ticket is never overwritten" {
  ptrain-relay ticket new --run alice --relay "$WORD" -o t
  cp t before
  expect 2 ptrain-relay ticket new --run alice --relay "$WORD" -o t
  says "is there already"
  cmp t before
}

@test "what is wrong with a ticket is named" {
  expect 2 ptrain-relay ticket new --run 'a b' --relay "$WORD" -o t
  says "is no name of a run"
  expect 2 ptrain-relay ticket new --run a --relay tcp://h:1 -o t
  says "it has no ,data=PORT"
  expect 2 ptrain-relay ticket new --run a --relay "$WORD" --expires never -o t
  says "hint: write 30d"
  [ ! -e t ]
  ptrain-relay ticket new --run a --relay "$WORD" -o t
  chmod 644 t
  expect 77 ptrain-relay ticket show t
  chmod 600 t
  head -n 3 t >shortened
  chmod 600 shortened
  expect 65 ptrain-relay ticket show shortened
  says "cut short"
}

@test "a relay keeps its key, and says so in JSON" {
  serve state --json
  local first
  first=$(jq -r 'select(.kind == "listening") | .endpoint' state.out)
  [ "$(stat -c %a state/key)" = 600 ]
  kill "$relay"
  ends 143
  rm state.out
  serve state --json
  [ "$(jq -r 'select(.kind == "listening") | .endpoint' state.out | cut -d'#' -f2)" = "${first#*#}" ]
}

@test "a relay ends at once when a port, a rule or a key is wrong" {
  serve state
  local port
  port=$(sed 's/^tcp:..127.0.0.1:\([0-9]*\)#.*/\1/' state.out)
  expect 74 ptrain-relay serve --state other --listen "tcp://127.0.0.1:$port" --data 0
  says "another process has that port"
  expect 2 ptrain-relay serve --state other --listen tcp://127.0.0.1:0 --data 0 --allow-peer 12
  says "is not 64 hexadecimal digits"
  echo "host x" >allow
  expect 2 ptrain-relay serve --state other --listen tcp://127.0.0.1:0 --data 0 --allow-file allow
  says "allow: line 1"
  expect 2 ptrain-relay serve --state other --listen ipc://x
  chmod 644 state/key
  expect 77 ptrain-relay serve --state state --listen tcp://127.0.0.1:0 --data 0
}

@test "SIGHUP reads the rules again, and wrong ones change nothing" {
  echo "peer *" >allow
  serve state --allow-file allow
  kill -HUP "$relay"
  eventually 20 grep -q "the rules were read again" state.err
  echo "nonsense" >allow
  kill -HUP "$relay"
  eventually 20 grep -q "the rules stay as they were" state.err
  kill "$relay"
  ends 143
}

@test "a relay's key is known before it has run" {
  expect 0 ptrain-relay identity --state state
  [[ $output =~ ^[0-9a-f]{64}$ ]]
  local key=$output
  [ "$(stat -c %a state/key)" = 600 ]
  serve state
  [[ $(<state.out) == *"#$key,data="* ]]
  expect 0 ptrain-relay identity --state state
  [ "$output" = "$key" ]
}

@test "relays that name each other are neighbours, for as long as they do" {
  local west
  : >all
  serve west --neighbour-file all --json
  west=$relay
  serve east --neighbour-file all --json
  jq -r .relay <west.out >all
  jq -r .relay <east.out >>all
  kill -HUP "$west" "$relay"
  eventually 20 grep -q neighbour_came west.out
  eventually 20 grep -q neighbour_came east.out
  expect 0 ptrain-relay top --state west
  prints "neighbour 127.0.0.1:"
  expect 0 ptrain-relay top --state west --json
  jq -es 'map(select(.kind == "neighbour")) | length == 1 and .[0].connected' <<<"$output"
  : >all
  kill -HUP "$west"
  eventually 20 grep -q neighbour_went west.out
  kill "$west" "$relay"
}

@test "neighbours that cannot be are refused at the start" {
  expect 2 ptrain-relay serve --state x --listen tcp://127.0.0.1:0 --data 0 --neighbour tcp://h:1
  says "--neighbour: relay 'tcp://h:1': it has no ,data=PORT"
  printf '%s\n' "$WORD" "${WORD/7100/7200}" >two
  expect 2 ptrain-relay serve --state x --listen tcp://127.0.0.1:0 --data 0 --neighbour-file two
  says "two: line 2"
  expect 74 ptrain-relay serve --state x --listen tcp://127.0.0.1:0 --data 0 --neighbour-file none
}

@test "peers, runs and top say who is there" {
  serve state
  expect 0 ptrain-relay peers --state state
  prints "RUN "
  expect 0 ptrain-relay runs --state state --json
  [ -z "$output" ]
  expect 0 ptrain-relay top --state state --json
  [ "$(field .members)" = 0 ]
  expect 0 ptrain-relay top --state state
  prints "0 peers in 0 runs"
}

@test "whoever has not the relay's key is told so, and that a relay is not there" {
  serve state
  serve other
  expect 2 ptrain-relay peers --state nowhere
  says "no relay has used the folder nowhere"
  expect 77 ptrain-relay peers --state other --relay "$(cut -d, -f1 state.out)"
  says "only the relay's operator"
}

@test "a registry that was cut short is moved aside, and the relay starts" {
  mkdir -m 700 state
  head -c 100 /dev/urandom >state/registry
  serve state
  grep -q "state/registry: it is no registry of a relay" state.err
  [ -e state/registry.damaged ]
  expect 0 ptrain-relay peers --state state
}

@test "figures are served to Prometheus, on request and on loopback only" {
  serve state --json --metrics 0 --echo 0
  local port
  port=$(jq -r 'select(.kind == "listening") | .metrics_port' state.out)
  [ "$(jq -r 'select(.kind == "listening") | .echo_ports | length' state.out)" = 2 ]
  exec 4<>"/dev/tcp/127.0.0.1/$port"
  printf 'GET /metrics HTTP/1.0\r\n\r\n' >&4
  output=$(cat <&4)
  exec 4<&-
  prints "HTTP/1.0 200 OK"
  prints "# TYPE ptrain_relay_members gauge"
  prints "ptrain_relay_members 0"
  prints "ptrain_relay_echo_answers_total 0"
  # Whoever asks nothing holds up nobody for long.
  exec 4<>"/dev/tcp/127.0.0.1/$port" 5<>"/dev/tcp/127.0.0.1/$port"
  printf 'GET / HTTP/1.1\r\n\r\n' >&5
  output=$(cat <&5)
  exec 4<&- 5<&-
  prints "ptrain_relay_runs 0"
}
