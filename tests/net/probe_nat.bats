#!/usr/bin/env bats
# Routers of every class, as ptrain-probe nat finds them from behind: with two relays, with one, and
# what routers map for their hosts.

load ../cli/helper

setup() { cd "$BATS_TEST_TMPDIR" || return; }

# laboratory OPTION... -- HOST...: what each host's ptrain-probe nat says, an object a line with its
# host and the seconds that it took; RELAYS names the public hosts that have relays
laboratory() {
  local -a lab=()
  while [[ $1 != -- ]]; do lab+=("$1"); shift; done
  shift
  cat >script <<'SCRIPT'
set -euo pipefail
relays=()
for relay in $RELAYS; do
  on "$relay" ptrain-relay serve --state "state-$relay" --json >"events-$relay" 2>"said-$relay" &
  relays+=(--relay "$(address "$relay"):7102")
done
for relay in $RELAYS; do
  for ((i = 0; i < 1200; i++)); do
    if [[ -s events-$relay ]]; then break; fi
    sleep 0.05
  done
  [[ $(jq -c 'select(.kind == "listening").echo_ports' "events-$relay") == '[7102,7103]' ]]
done
# All at once: each waits for routers that say nothing.
ask() {
  local begin_s=$EPOCHREALTIME
  on "$1" ptrain-probe nat "${relays[@]}" --json >"nat-$1"
  jq -c --arg host "$1" --arg began "$begin_s" --arg ended "$EPOCHREALTIME" \
    '{host: $host, seconds: (($ended | tonumber) - ($began | tonumber))} + .' "nat-$1" >"asked-$1"
}
asked=()
for host; do
  ask "$host" &
  asked+=($!)
done
for process in "${asked[@]}"; do wait "$process"; done
for host; do cat "asked-$host"; done
kill $(jobs -p)
SCRIPT
  expect 0 "$RECIPES/lab/lab.sh" "${lab[@]}" -- bash script "$@"
}

# facts JQ: of each line
facts() { jq -r "$1" <<<"$output"; }

ends_in_time() { facts 'select(.class_s >= 2)' | diff /dev/null - || { show_output; return 1; }; }

@test "with two relays every class of router is called by its name, within two seconds" {
  RELAYS='p1 p2' laboratory --public 2 --hosts 8 --nat h1=open --nat h2=full-cone --nat h3=address-restricted \
    --nat h4=port-restricted --nat h5=symmetric --nat h6=carrier --nat h7=carrier-symmetric --nat h8=no-udp -- \
    h1 h2 h3 h4 h5 h6 h7 h8
  diff - <(facts '[.host, .class, .mapping, .filtering, .carrier] | map(tostring) | join("|")') <<'FACTS'
h1|open|none|none|false
h2|full cone|endpoint-independent|none|false
h3|address-restricted|endpoint-independent|address-dependent|false
h4|port-restricted|endpoint-independent|address-and-port-dependent|false
h5|symmetric|address-and-port-dependent|address-and-port-dependent|false
h6|port-restricted|endpoint-independent|address-and-port-dependent|true
h7|symmetric|address-and-port-dependent|address-and-port-dependent|true
h8|UDP blocked|unknown|unknown|false
FACTS
  ends_in_time
  # Where each is seen, and whether by the same port.
  [ "$(facts 'select(.host == "h2") | .outside | split(":")[0]')" = 11.0.0.102 ]
  [ "$(facts 'select(.host == "h2") | .same_port')" = true ]
  [ "$(facts 'select(.host == "h5") | .same_port')" = false ]
  [ "$(facts 'select(.host != "h8") | .relays | length' | sort -u)" = 2 ]
  [ "$(facts 'select(.host != "h8") | [.relays[] | select(.nearest and .round_trip_s > 0)] | length' | sort -u)" = 1 ]
  [ "$(facts 'select(.host == "h8") | [.relays[] | select(.tcp_connect_s > 0)] | length')" = 2 ]
  [[ $(facts 'select(.host == "h6").cure') == *carrier* ]]
  [ "$(facts 'select(.host == "h1").cure')" = null ]
}

@test "with one relay, a full cone and an address-restricted router are called either" {
  RELAYS=p1 laboratory --hosts 4 --nat h1=full-cone --nat h2=address-restricted --nat h3=port-restricted,hairpin \
    --nat h4=symmetric -- h1 h2 h3 h4
  diff - <(facts '[.host, .class, .hairpin] | map(tostring) | join("|")') <<'FACTS'
h1|full cone or address-restricted|false
h2|full cone or address-restricted|false
h3|port-restricted|true
h4|symmetric|false
FACTS
  ends_in_time
}

@test "a router that maps ports is found within five seconds, and one behind a carrier is of no use" {
  RELAYS=p1 laboratory --hosts 3 --nat h1=symmetric,port-mapping --nat h2=port-restricted --nat h3=carrier,port-mapping \
    -- h1 h2 h3
  diff - <(facts '[.host, .class, ([.mapping_services[] | select(.answers).service] | sort | join(","))] | join("|")') <<'FACTS'
h1|symmetric|NAT-PMP,PCP,UPnP
h2|port-restricted|
h3|port-restricted|PCP,UPnP
FACTS
  facts 'select(any(.mapping_services[]; .answers) and .seconds >= 5)' | diff /dev/null - || { show_output; return 1; }
  # miniupnpd knows by itself that it is not on the internet, and says so where the protocol can.
  [[ $(facts 'select(.host == "h3") | .mapping_services[] | select(.service == "NAT-PMP").why') == *'not connected'* ]]
  [[ $(facts 'select(.host == "h1").cure') == *"ptrain-punch map"* ]]
  [[ $(facts 'select(.host == "h3").cure') != *"ptrain-punch map"* ]]
  [ "$(facts 'select(.host == "h3") | [.mapping_services[] | select(.worthless)] | length > 0')" = true ]
}
