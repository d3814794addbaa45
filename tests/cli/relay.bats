#!/usr/bin/env bats
# ptrain-relay as a person uses it: serve, tickets, who is there.

load helper
load tiny_job

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  export XDG_CONFIG_HOME=$PWD/config
}

teardown() {
  local pid
  for pid in $(jobs -p); do kill "$pid" 2>/dev/null || true; done
  wait
}

# serve NAME [OPTION]...: a relay with the state folder NAME, at $LISTEN, and its pid in $relay
serve() {
  local name=$1
  shift
  rm -f "$name.out"  # that of an earlier one
  ptrain-relay serve --state "$name" --listen "${LISTEN:-tcp://127.0.0.1:0}" --data "${DATA:-0}" "$@" >"$name.out" 2>"$name.err" 3>&- &
  relay=$!
  eventually 60 test -s "$name.out"
}

# ends CODE: the relay ends with that code
ends() {
  local code=0
  wait "$relay" || code=$?
  [ "$code" = "$1" ] || { echo "exit code $code"; cat ./*.err; return 1; }
}

field() { jq -r "$1" <<<"$output"; }

# stage_of CODE TICKET [OPTION]...: stage 1 of two of a run, which nobody else joins
stage_of() {
  [ -e job.toml ] || tiny_data "$PWD"
  expect "$1" timeout 300 ptrain-stage run --job job.toml --ticket "$2" --stages 2 --stage 1 --key mine \
    --threads 1 "${@:3}"
}

WORD="tcp://relay.example.net:7100#$(printf '%064d' 0 | tr 0 a),data=7101"

@test "the line that serve prints makes a ticket" {
  serve state --public-host relay.example.net
  [[ $(<state.out) =~ ^tcp://relay\.example\.net:[0-9]+#[0-9a-f]{64},data=[0-9]+$ ]]
  expect 0 ptrain-relay ticket new --run alice --relay "$(<state.out)" -o alice.ticket
  prints "$(<state.out)"
  kill "$relay"
  ends 143
}

@test "the host that others dial is a name or an address, and nothing more" {
  serve state --public-host 2001:db8::7
  [[ $(<state.out) == "tcp://[2001:db8::7]:"* ]]
  local wrong
  for wrong in relay.example.net:7100 tcp://relay.example.net 'relay example' 0.0.0.0 ''; do
    expect 2 ptrain-relay serve --state no --listen tcp://127.0.0.1:0 --data 0 --public-host "$wrong"
    says "--public-host '$wrong': "
    says "hint: give a host's name or address alone"
  done
  [ ! -e no ]
}

@test "a relay that listens at all addresses prints one that others can dial" {
  LISTEN=tcp://0.0.0.0:0 serve state
  [[ $(<state.out) =~ ^tcp://[0-9.]+:[0-9]+#[0-9a-f]{64},data=[0-9]+$ && $(<state.out) != tcp://0.* ]]
  expect 0 ptrain-relay peers --state state --relay "$(cut -d, -f1 state.out)"
}

@test "one relay has a state folder, and another one is told which" {
  serve state
  expect 75 ptrain-relay serve --state state --listen tcp://127.0.0.1:0 --data 0
  says "state is in use by another relay: process $relay on $(hostname)"
  says "hint: end that one, or give this one a --state folder of its own"
  expect 0 ptrain-relay identity --state state
  expect 0 ptrain-relay peers --state state
  kill -KILL "$relay"
  ends 137
  serve state
  expect 0 ptrain-relay peers --state state
}

# The folder as cmake installs it, and the path of its program in the unit.
@test "the unit for systemd is right as it is installed" {
  local unit=usr/lib/systemd/system/ptrain-relay.service
  cmake --install "${PTRAIN_BIN%/bin}" --prefix usr --component relay >installed
  [ -x usr/bin/ptrain-relay ]
  grep -qF "ExecStart=\"$PWD/usr/bin/ptrain-relay\" serve " "$unit"
  run ! grep '@' <(grep -v '^#\|@system-service\|@privileged' "$unit")
  expect 0 systemd-analyze verify --man=no "$unit"
  [ -z "$output$stderr" ] || { show_output; return 1; }
  # The options as the unit's own words say to give them, all of them.
  sed -n 's/^#   \(Environment=.*\)/\1/p' "$unit" >given
  [ "$(wc -l <given)" = 1 ]
  sed -i -e '/^Environment=/{r given
d}' "$unit"
  expect 0 systemd-analyze verify --man=no "$unit"
  [ -z "$output$stderr" ] || { show_output; return 1; }
  sed -i 's/^Environment=.*/Environment=RELAY_OPTIONS=--public-host relay.example.net/' "$unit"
  expect 0 systemd-analyze verify --man=no "$unit"
  says "Invalid environment assignment"
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
  eventually 60 grep -q "the rules were read again" state.err
  echo "nonsense" >allow
  kill -HUP "$relay"
  eventually 60 grep -q "the rules stay as they were" state.err
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
  eventually 60 grep -q neighbour_came west.out
  eventually 60 grep -q neighbour_came east.out
  expect 0 ptrain-relay top --state west
  prints "neighbour 127.0.0.1:"
  expect 0 ptrain-relay top --state west --json
  jq -es 'map(select(.kind == "neighbour")) | length == 1 and .[0].connected' <<<"$output"
  : >all
  kill -HUP "$west"
  eventually 60 grep -q neighbour_went west.out
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

@test "peers says who has gone, and since when" {
  serve state
  ptrain-relay ticket new --run alice --relay "$(<state.out)" -o t >/dev/null
  stage_of 69 t --peer-timeout 5  # in which it joins
  # The relay may hear of its end a moment later.
  left() { ptrain-relay peers --state state --json | jq -es 'any(.[]; .how == "left")' >/dev/null; }
  eventually 60 left
  expect 0 ptrain-relay peers --state state --json
  [ "$(field 'select(.kind == "peer")')" = "" ]
  [ "$(field .role)" = stage-1 ]
  [ "$(field .how)" = left ]
  [[ $(field .since) == "$(date -u +%Y-)"*Z ]]
  expect 0 ptrain-relay peers --state state
  prints "(gone since $(date -u +%Y-)"
  prints "s ago: left)"
}

@test "a key that a relay does not serve is told so at once, and how it is let in, on both sides" {
  local own other run
  own=$(ptrain-stage identity --key mine)
  other=$(printf '%064d' 0 | tr 0 b)
  serve state --allow-peer "$other"
  ptrain-relay ticket new --run alice --relay "$(<state.out)" -o t --json >t.json
  stage_of 77 t
  says "does not serve our key $own; its own is $(ptrain-relay identity --state state)"
  says "hint: its operator lets it in with: ptrain-relay serve --allow-peer $own"
  eventually 60 grep -q "refused 127.0.0.1 with key $own, .*--allow-peer $own.*lets it in" state.err
  own=$(ptrain-relay identity --state stranger)
  expect 77 timeout 60 ptrain-relay peers --state stranger --relay "$(cut -d, -f1 state.out)"
  says "does not serve our key $own"
  says "hint: --state must be the folder of that relay"
  own=$(ptrain-stage identity)
  local what
  for what in fetch serve; do
    expect 77 timeout 60 ptrain-ckpt "$what" --ticket t --dir copy
    says "does not serve our key $own"
    says "hint: its operator lets it in with: ptrain-relay serve --allow-peer $own"
  done
  expect 77 timeout 60 ptrain-relay ticket revoke t "$other"
  says "does not serve our key $own"
  says "--allow-peer $own"
  kill "$relay"
  ends 143

  # The same of a run.
  serve runs --allow-run aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
  ptrain-relay ticket new --run alice --relay "$(<runs.out)" -o u --json >t.json
  run=$(jq -r .run_id t.json)
  stage_of 77 u
  says "this relay does not serve run $run"
  says "hint: its operator lets it in with: ptrain-relay serve --allow-run $run"
  eventually 60 grep -q "refused 127.0.0.1 with key .*: --allow-run $run.*lets it in" runs.err
}

@test "that no relay is there is said at once" {
  serve state
  local port
  port=$(sed 's/^tcp:..127.0.0.1:\([0-9]*\)#.*/\1/' state.out)
  kill "$relay"
  ends 143
  local what
  for what in peers runs top; do
    expect 69 timeout 60 ptrain-relay "$what" --state state
    says "at tcp://127.0.0.1:$port: connection refused"
    says "hint: is ptrain-relay serve running, with this --state?"
  done
  socat "TCP-LISTEN:$port,bind=127.0.0.1,reuseaddr,fork" 'EXEC:sleep 60' 2>/dev/null 3>&- &
  eventually 60 bash -c ": </dev/tcp/127.0.0.1/$port"
  expect 69 timeout 60 ptrain-relay peers --state state
  says "at tcp://127.0.0.1:$port: what is there does not answer as one"
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
  eventually 60 grep -q "state/registry: it is no registry of a relay" state.err
  [ -e state/registry.damaged ]
  expect 0 ptrain-relay peers --state state
}

# echoes: the ports of the echo that members are told of
echoes() { jq -c 'select(.kind == "listening") | .echo_ports' state.out; }

# Of an address that nobody else listens at.
@test "the echo is on unless it shall not be, after the data port or at other ports" {
  local LISTEN=tcp://127.77.0.9:0 DATA=27101
  serve state --json
  [ "$(echoes)" = '[27102,27103]' ]
  kill -TERM "$relay"
  ends 143
  serve state --json --no-echo
  [ "$(echoes)" = null ]
  kill -TERM "$relay"
  ends 143
  # Its first port is another's.
  socat -u UDP-RECV:27102,bind=127.77.0.9 - >/dev/null 3>&- &
  eventually 60 grep -q ' 09004D7F:69DE ' /proc/net/udp
  serve state --json
  [ "$(echoes | jq length)" = 2 ]
  eventually 60 grep -q 'echo takes other ports' state.err
  kill -TERM "$relay"
  ends 143
  expect 74 ptrain-relay serve --state state --listen tcp://127.77.0.9:0 --data 0 --echo 27102
  says 27102
  expect 2 ptrain-relay serve --state state --echo 7102 --no-echo
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

@test "the maker of a run signs a later date, and nobody else can" {
  ptrain-relay ticket new --run alice --relay "$WORD" --expires 2h -o t --json >new.json
  [ "$(stat -c %a t.issuer)" = 600 ]
  run ! grep -q "$(sed -n 's/^secret //p' t.issuer)" t
  expect 0 ptrain-relay ticket renew t --expires 90d -o later --json
  [ "$(field .run_id)" = "$(jq -r .run_id new.json)" ]
  [[ $(field .expires) > $(jq -r .expires new.json) ]]
  [ "$(sed -n 's/^secret //p' t)" = "$(sed -n 's/^secret //p' later)" ]
  # A holder's own date, and another run's issuer, are refused.
  sed 's/^expires .*/expires 2036-12-22T18:30:00Z/' t >forged
  chmod 600 forged
  expect 65 ptrain-relay ticket show forged
  says "the issuer has not signed this expiry"
  ptrain-relay ticket new --run bob --relay "$WORD" -o other
  expect 77 ptrain-relay ticket renew t --issuer other.issuer -o no
  says "is the issuer of run"
  [ ! -e no ]
}

@test "a ticket ends with a day, or at a time" {
  local year=$(($(date -u +%Y) + 1))
  expect 0 ptrain-relay ticket new --run alice --relay "$WORD" --expires "$year-01-31" -o t --json
  [ "$(field .expires)" = "$year-01-31T23:59:59Z" ]
  expect 0 ptrain-relay ticket renew t --expires "$year-02-01T12:00Z" -o later --json
  [ "$(field .expires)" = "$year-02-01T12:00:00Z" ]
  expect 2 ptrain-relay ticket renew t --expires "$year-02-30" -o no
  says "expiry '$year-02-30' is neither a length of time nor a date"
}

@test "a ticket of the first version is refused with the remedy" {
  ptrain-relay ticket new --run alice --relay "$WORD" -o t
  sed '1s/2/1/' t >old
  chmod 600 old
  expect 65 ptrain-relay ticket show old
  says "ticket version '1', this program reads 2"
  says "make a new one with ptrain-relay ticket new"
}

@test "revoking tells the relays of the ticket, and says which of them have taken it" {
  serve state
  ptrain-relay ticket new --run alice --relay "$(<state.out)" -o t
  local key
  key=$(printf '%064d' 0 | tr 0 b)
  expect 69 ptrain-relay ticket revoke t "$key"
  says "0 of 1 relays have taken it"
  says "no member of that run is here"
  expect 2 ptrain-relay ticket revoke t nonsense
  says "no public key"
}
