# Sourced on the host of the examples (example_host.bash), before each.
# shellcheck shell=bash disable=SC2034  # the examples use them

KEY=$(ptrain-stage identity) KEY1=$KEY KEY2=$KEY RUN=eyiseux2xrkueah6d36hgtdcqmkbooub
KEY_OF_ANOTHER=$(ptrain-relay identity --state another)

# served COMMAND...: begins, says so on standard output, and ends when it is told to.
served() {
  local code=0 i
  rm -f served.out
  "$@" >served.out &
  for ((i = 0; i < 2400; i++)); do
    if [[ -s served.out ]]; then break; fi
    sleep 0.05
  done
  kill -TERM $!
  wait $! || code=$?
  [[ -s served.out && $code -eq 143 ]] || { echo "$*: ended with $code" >&2; return 1; }
}

# begun COMMAND...: in the background, once it has printed a line, which is in $BEGUN.
begun() {
  local i
  rm -f begun.out
  "$@" >begun.out 2>begun.said &
  for ((i = 0; i < 2400; i++)); do
    if [[ -s begun.out ]]; then break; fi
    sleep 0.05
  done
  BEGUN=$(head -n 1 begun.out)
  [[ -n $BEGUN ]] || { cat begun.said >&2; return 1; }
}

# A server of probes and a holder of checkpoints on the other hosts, and a relay with a ticket.
measured() { begun ptrain-probe serve --listen tcp://0.0.0.0:7300 --admit "$KEY"; }
# What has been measured of three hosts, with the job of the examples.
planned() {
  # shellcheck source=measured_hosts.bash
  . "${BASH_SOURCE[0]%/*}/measured_hosts.bash"
  measured_hosts "$(ptrain-stage job --job job.toml --json | jq -c .job)"
}
holder() { begun ptrain-ckpt serve --dir "$1" --listen tcp://0.0.0.0:7100 --admit "$KEY"; }
relay() {
  begun ptrain-relay serve --state relay --public-host relay.example.net
  WORD=$BEGUN
}
ticket() { ptrain-relay ticket new --run alice --relay "$WORD" -o alice.ticket >ticket.said; }

# With a relay that runs, and its ticket.
in_a_run() {
  if [[ -e alice.ticket ]]; then return; fi
  relay
  ticket
}
# Another host, which ptrain-punch dial finds.
listener() { begun ptrain-punch listen --ticket alice.ticket --key nora.key --name nora; }

# Two hosts of a run that let members measure the links to them.
serving_run() {
  local name
  relay
  ticket
  for name in east west; do begun ptrain-probe serve --ticket alice.ticket --name $name --key "$name.key"; done
}

# Somebody who has joined the run: a relay knows no other runs.
member() {
  local i
  ptrain-stage run --job job.toml --ticket alice.ticket --stages 2 --stage 0 >member.said 2>&1 &
  for ((i = 0; i < 2400; i++)); do
    if (($(ptrain-relay peers --state relay | wc -l) > 1)); then return; fi  # below the heading
    sleep 0.05
  done
  cat member.said >&2
  return 1
}

# The router of the home that this host is in, which maps ports.
router() {
  # shellcheck source=home_router.bash
  . "${BASH_SOURCE[0]%/*}/home_router.bash"
  home_network routed
  home_router --outside 8.8.4.4
}

# What lies on another host is here.
rsync() { mkdir -p "$3" && cp -a "${2#*:}." "$3"; }
