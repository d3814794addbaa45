#!/usr/bin/env bats
# What a relay that is a process of its own owes the members of a run: dates that the issuer has signed,
# word of every change, claims that one has at a time, and a reason where it speaks another version.

load ../cli/helper

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  relays=()
  declare -gA running=()
  mkfifo open
  exec {open}<>open  # until the test ends, so do those who read it
}

teardown() {
  local pid
  exec {open}>&-
  for pid in $(jobs -p); do kill "$pid" 2>/dev/null || true; done
  wait
}

TESTS=${PTRAIN_BIN%/bin}/tests

# serve NAME [OPTION]...: a relay with the state folder NAME, its word in NAME.word
serve() {
  local name=$1
  shift
  rm -f "$name.word"  # that of an earlier one
  ptrain-relay serve --state "$name" --listen "${LISTEN:-tcp://127.0.0.1:0}" --data 0 "$@" \
    >"$name.word" 2>"$name.err" 3>&- &
  relays+=($!)
  eventually 60 test -s "$name.word"
}

witness() { "$TESTS/relay_witness" "$@"; }

@test "a change of which the word was lost is seen at the next renewal" {
  serve relay --lease 3  # a member renews every second
  expect 0 witness lose "$(<relay.word)" patience=15
  jq -e '.lost == 1 and .met and .s < 10' <<<"$output"
}

@test "a date that is over bars who comes, not who is there, and only the issuer writes it" {
  serve relay
  expect 0 witness expiry "$(<relay.word)"
  [ "$output" = '{"past":"expired","forged":"forged","living":"granted","changed":"granted","again":"expired"}' ] ||
    { show_output; return 1; }
}

# stands NAME HOW: the last that the member was told
stands() { tail -n 1 "$1.out" | jq -e "$2" >/dev/null; }

# registers NAME [OPTION]...: a member with the key of the folder NAME and a role of that name, until the
# test ends, or another one of that name begins; what it is told in NAME.out
registers() {
  if [[ -n ${running[$1]-} ]]; then
    kill "${running[$1]}" 2>/dev/null || true
    wait "${running[$1]}" || true
  fi
  : >"$1.out"  # now, and not when the child gets to it: nobody reads what another was told
  "$TESTS/forge_member" --ticket ticket --key "$1/key" --role "$1" "${@:2}" <open >"$1.out" 2>"$1.err" 3>&- &
  running[$1]=$!
}

@test "who is revoked at one relay is taken out by its neighbour, and kept out" {
  local key
  : >all
  serve east --neighbour-file all
  serve west --neighbour-file all
  cat east.word west.word >all
  kill -HUP "${relays[@]}"
  ptrain-relay ticket new --run alice --relay "$(<west.word)" -o ticket
  sed "s|^relay .*|relay $(sed 's/,data=/ /' east.word)|" ticket >elsewhere
  cp ticket.issuer elsewhere.issuer
  chmod 600 elsewhere
  # The member knows west alone, and its issuer tells east alone.
  key=$(ptrain-relay identity --state mine)
  registers mine
  eventually 60 grep -q '"registered":true' mine.out
  seen() { ptrain-relay runs --state east --json | jq -e '.elsewhere == 1' >/dev/null; }
  eventually 60 seen
  expect 0 ptrain-relay ticket revoke elsewhere "$key"
  eventually 60 stands mine '.registered == false and (.why | startswith("revoked: "))' ||
    { cat mine.out; return 1; }
  ptrain-relay peers --state west --json | jq -es 'length == 1 and .[0].how == "revoked"'
  # West has it on its disk, and keeps it out after a restart.
  kill "${relays[@]}"
  wait "${relays[@]}" || true
  LISTEN=$(cut -d'#' -f1 west.word) serve west
  registers mine
  eventually 60 stands mine '.why | startswith("revoked: ")' || { cat mine.out; return 1; }
}

@test "whose ticket has ended while it was there is not met by who comes" {
  serve relay
  ptrain-relay ticket new --run alice --relay "$(<relay.word)" -o ticket \
    --expires "$(date -u --date '10 seconds' +%FT%TZ)"
  ptrain-relay ticket renew ticket --expires 1d -o renewed
  registers holder-1
  eventually 60 grep -q '"registered":true' holder-1.out
  sleep 10
  stands holder-1 .registered
  expect 69 ptrain-ckpt fetch --ticket renewed --dir copy --timeout 5
  says "comes with a ticket that expired at"
}

# claims NAME HOW: a member of that name and its claim, which turns out so; the number in $number
claims() {
  registers "$1" --claim driver --hold-ms 10000
  eventually 60 grep -q claimed "$1.out"
  number=$(grep claimed "$1.out" | tail -n 1 | jq .number)
  grep claimed "$1.out" | tail -n 1 | jq -e "$2" >/dev/null || { cat "$1.out"; return 1; }
}

# again SIGNAL: the relay ends by it, and another takes its place
again() {
  kill -s "$1" "${relays[-1]}"
  wait "${relays[-1]}" || true
  LISTEN=$(cut -d'#' -f1 relay.word) serve relay --lease 12
}

# goes_on: ann has been told since that she has it, under her number
goes_on() {
  local before
  before=$(wc -l <ann.out)
  told() { (($(wc -l <ann.out) > before)) && stands ann ".claimed and .number == $first"; }
  eventually 60 told || { cat ann.out; return 1; }
}

# gets NAME: whoever asks again and again has it at last
gets() { claims "$1" .claimed; }

@test "a claim is one member's at a time, and no end of a relay sets its number back" {
  local first second
  serve relay --lease 12
  ptrain-relay ticket new --run alice --relay "$(<relay.word)" -o ticket
  claims ann '.claimed and .left_s > 5 and .left_s <= 10'
  first=$number
  claims bob '(.claimed | not) and .holder == "ann" and .left_s > 0 and .left_s <= 10 and .why == ""'
  [ "$number" = "$first" ]
  goes_on
  again TERM  # its holder has it still
  goes_on
  claims bob '(.claimed | not) and .holder == "ann"'
  again KILL
  goes_on
  # She sleeps, and cannot prolong it.
  kill -STOP "${running[ann]}"
  eventually 60 gets bob
  second=$number
  ((second > first))
  kill -CONT "${running[ann]}"
  eventually 60 stands ann '.claimed == false and .holder == "bob"' || { cat ann.out; return 1; }
  # The number is kept by time alone where everything but the key is lost.
  kill "${running[@]}"
  kill -KILL "${relays[-1]}"
  wait "${relays[-1]}" || true
  rm relay/registry
  LISTEN=$(cut -d'#' -f1 relay.word) serve relay --lease 12
  eventually 60 gets carl
  ((number > second))
}

@test "a request of the version before or after ours is refused in its own, with both named" {
  serve relay
  local version
  for version in 1 3; do
    expect 0 witness foreign "$(<relay.word)" version=$version
    jq -e --argjson version $version '.version == $version and .id == 77
      and (.text | startswith("your relay protocol is version \($version), this relay'"'"'s 2"))' <<<"$output"
    eventually 20 grep -q "version $version, this relay's 2: both need the same release" relay.err
    sleep 5  # warnings are limited
  done
}

@test "programs whose relays all speak another version name both, and end with 2" {
  "$TESTS/first_relay" >word 3>&- &
  eventually 60 test -s word
  ptrain-relay ticket new --run alice --relay "$(<word)" -o ticket
  expect 2 timeout 60 ptrain-relay ticket revoke ticket "$(printf '%064d' 0 | tr 0 b)"
  says "version 1, ours is 2"
  local what
  for what in fetch serve; do
    expect 2 timeout 60 ptrain-ckpt "$what" --ticket ticket --dir .
    says "version 1, ours is 2"
  done
}

# told WHAT NAME [TIMES]: so often the node has said it of that member, and nothing else of it since
told() {
  jq -es --arg what "$1" --arg name "$2" --argjson times "${3:-1}" '
    map(select(.seen == $name or .gone == $name))
    | (map(select(.[$what])) | length) == $times and (last | .[$what] == $name)' <roll >/dev/null
}
is_told() { eventually 60 told "$@" || { cat roll; return 1; }; }

@test "a node is told who of its run comes and goes, by whichever relay has them" {
  serve east --lease 6
  serve west --lease 6
  ptrain-relay ticket new --run alice --relay "$(<east.word)" --relay "$(<west.word)" -o ticket
  registers early  # with the first relay alone
  eventually 60 grep -q '"registered":true' early.out
  "$TESTS/roll_call" --ticket ticket --key watcher --role watcher <open >roll 2>roll.err 3>&- &
  is_told seen early
  registers late
  is_told seen late
  # Killed, it is there until its lease is over; told to end, it says so.
  kill -KILL "${running[early]}"
  is_told gone early
  kill "${running[late]}"
  wait "${running[late]}" || true
  is_told gone late
  registers late
  is_told seen late 2
  # A relay's new beginning is no loss, nor is it of who is with another one as well.
  mkdir holder
  ptrain-ckpt serve --dir holder --ticket ticket --key holder-key >/dev/null 2>both.err 3>&- &
  local both=$! name
  eventually 60 grep -q '"seen":"holder-' roll || { cat roll both.err; return 1; }
  name=$(jq -r '.seen // empty | select(startswith("holder-"))' <roll)
  kill -KILL "${relays[0]}"
  wait "${relays[0]}" || true
  LISTEN=$(cut -d'#' -f1 east.word) serve east --lease 6
  # times COUNT TEXT FILE
  times() { (($(grep -c "$2" "$3") >= $1)); }
  eventually 60 times 2 '"registered":true' late.out
  eventually 60 times 2 "registered with relay $(sed 's|^tcp://||; s|#.*||' east.word)" roll.err ||
    { cat roll.err; return 1; }
  registers last
  is_told seen last
  told seen late 2
  told seen "$name"
  kill "$both"
  is_told gone "$name"
  ! grep -q '"watcher"' roll || { cat roll; return 1; }
}
