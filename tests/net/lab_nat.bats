#!/usr/bin/env bats
# The laboratory's routers are of the classes that they are called by, as nat_facts.py measures them from
# both sides: mapping, filtering, ports and hairpins in the words of RFC 4787 and RFC 5382; and what happens
# to routers happens.

load ../cli/helper

FACTS=$ROOT/tests/net/nat_facts.py

setup() { cd "$BATS_TEST_TMPDIR" || return; }

# lab OPTION... -- COMMAND...: with two public hosts; what it prints must be what standard input says, where
# blanks count for nothing
lab() {
  tr -s ' ' >expected
  expect 0 "$RECIPES/lab/lab.sh" --public 2 "$@"
  diff expected - <<<"$output" || { show_output; return 1; }
}

@test "routers of every class map, filter and choose ports as the class says" {
  lab --hosts 9 --nat h1=open --nat h2=full-cone --nat h3=address-restricted --nat h4=port-restricted \
    --nat h5=symmetric --nat h6=symmetric-sequential --nat h7=carrier --nat h8=carrier-symmetric \
    --nat h9=no-udp -- "$FACTS" classes h1 h2 h3 h4 h5 h6 h7 h8 h9 <<'FACTS'
h1 udp mapping=endpoint-independent       port=same  filtering=none             hairpin=yes
h1 tcp mapping=endpoint-independent       port=same  filtering=none             hairpin=yes simultaneous=no
h2 udp mapping=endpoint-independent       port=same  filtering=none             hairpin=no
h2 tcp mapping=endpoint-independent       port=same  filtering=none             hairpin=no simultaneous=no
h3 udp mapping=endpoint-independent       port=same  filtering=address          hairpin=no
h3 tcp mapping=endpoint-independent       port=same  filtering=address          hairpin=no simultaneous=yes
h4 udp mapping=endpoint-independent       port=same  filtering=address-and-port hairpin=no
h4 tcp mapping=endpoint-independent       port=same  filtering=address-and-port hairpin=no simultaneous=yes
h5 udp mapping=address-and-port-dependent port=other filtering=address-and-port hairpin=no
h5 tcp mapping=address-and-port-dependent port=other filtering=address-and-port hairpin=no simultaneous=no
h6 udp mapping=address-and-port-dependent port=next  filtering=address-and-port hairpin=no
h6 tcp mapping=address-and-port-dependent port=next  filtering=address-and-port hairpin=no simultaneous=no
h7 udp mapping=endpoint-independent       port=same  filtering=address-and-port hairpin=no
h7 tcp mapping=endpoint-independent       port=same  filtering=address-and-port hairpin=no simultaneous=yes
h8 udp mapping=address-and-port-dependent port=other filtering=address-and-port hairpin=no
h8 tcp mapping=address-and-port-dependent port=other filtering=address-and-port hairpin=no simultaneous=no
h9 udp blocked
h9 tcp mapping=endpoint-independent       port=same  filtering=address-and-port hairpin=no simultaneous=yes
FACTS
}

@test "with a hairpin, mappings work from inside as well, and the class stays what it is" {
  lab --hosts 4 --nat port-restricted,hairpin --nat h1=full-cone,hairpin --nat h2=address-restricted,hairpin \
    --nat h4=carrier,hairpin -- "$FACTS" classes h1 h2 h3 h4 <<'FACTS'
h1 udp mapping=endpoint-independent port=same filtering=none             hairpin=yes
h1 tcp mapping=endpoint-independent port=same filtering=none             hairpin=yes simultaneous=no
h2 udp mapping=endpoint-independent port=same filtering=address          hairpin=yes
h2 tcp mapping=endpoint-independent port=same filtering=address          hairpin=yes simultaneous=yes
h3 udp mapping=endpoint-independent port=same filtering=address-and-port hairpin=yes
h3 tcp mapping=endpoint-independent port=same filtering=address-and-port hairpin=yes simultaneous=yes
h4 udp mapping=endpoint-independent port=same filtering=address-and-port hairpin=yes
h4 tcp mapping=endpoint-independent port=same filtering=address-and-port hairpin=yes simultaneous=yes
FACTS
}

@test "by IPv6 hosts have one address everywhere, and their routers let in what was asked for" {
  lab --hosts 4 --ipv6 --nat full-cone --nat h2=open --nat h3=carrier-symmetric --nat h4=no-udp -- \
    "$FACTS" -6 classes h1 h2 h3 h4 <<'FACTS'
h1 udp mapping=endpoint-independent port=same filtering=address-and-port hairpin=yes
h1 tcp mapping=endpoint-independent port=same filtering=address-and-port hairpin=yes simultaneous=yes
h2 udp mapping=endpoint-independent port=same filtering=none             hairpin=yes
h2 tcp mapping=endpoint-independent port=same filtering=none             hairpin=yes simultaneous=no
h3 udp mapping=endpoint-independent port=same filtering=address-and-port hairpin=yes
h3 tcp mapping=endpoint-independent port=same filtering=address-and-port hairpin=yes simultaneous=yes
h4 udp blocked
h4 tcp mapping=endpoint-independent port=same filtering=address-and-port hairpin=yes simultaneous=yes
FACTS
}

# script: what runs in the laboratory, with $facts for the program
script() {
  { printf 'set -euo pipefail\nfacts=%q\n' "$FACTS"; cat; } >script
}

@test "a router that reboots, or forgets, has lost mappings, and makes the same ones again" {
  local host
  script <<'SCRIPT'
for host in h1 h2 h3; do
  "$facts" after $host "$host reboot 0" "$host forget" "$host forget udp PORT" "$host forget tcp PORT"
done
SCRIPT
  for host in h1 h2 h3; do
    sed "s/^/$host /" <<'FACTS'
reboot 0: udp lost lost same, tcp lost lost same
forget: udp lost lost same, tcp lost lost same
forget udp PORT: udp lost kept same, tcp kept kept same
forget tcp PORT: udp kept kept same, tcp lost kept same
FACTS
  done | lab --hosts 3 --nat h2=full-cone --nat h3=carrier,hairpin -- bash script
}

@test "a router that rebinds gives other ports, until it reboots, and its class stays what it is" {
  script <<'SCRIPT'
"$facts" after h1 'h1 rebind'
"$facts" classes h1
"$facts" after h1 'h1 reboot 0' 'h1 forget'
"$facts" after h2 'h2 rebind' 'h2 forget'
SCRIPT
  lab --hosts 2 --nat h1=full-cone,hairpin --nat h2=symmetric -- bash script <<'FACTS'
h1 rebind: udp lost lost other-port, tcp lost lost other-port
h1 udp mapping=endpoint-independent port=other filtering=none hairpin=yes
h1 tcp mapping=endpoint-independent port=other filtering=none hairpin=yes simultaneous=no
h1 reboot 0: udp lost lost other-port, tcp lost lost other-port
h1 forget: udp lost lost same, tcp lost lost same
h2 rebind: udp lost lost other-port, tcp lost lost other-port
h2 forget: udp lost lost other-port, tcp lost lost other-port
FACTS
}

@test "a carrier's router, not the home's, decides what is seen of what is behind both" {
  lab --hosts 1 --nat carrier -- "$FACTS" after h1 'carrier1 forget' 'h1 rebind' 'carrier1 rebind' <<'FACTS'
carrier1 forget: udp lost lost same, tcp lost lost same
h1 rebind: udp lost lost other-port, tcp lost lost other-port
carrier1 rebind: udp lost lost other-port, tcp lost lost other-port
FACTS
}

@test "a router, or a host without one, that changes its address is seen at the new one, and back" {
  script <<'SCRIPT'
address h1
"$facts" after h1 'h1 readdress'
address h1
"$facts" classes h1
"$facts" after h1 'h1 readdress'
address h1
"$facts" after h2 'h2 readdress'
address h2
SCRIPT
  lab --hosts 2 --nat h1=full-cone,hairpin --nat h2=open -- bash script <<'FACTS'
11.0.0.101
h1 readdress: udp lost lost other-address, tcp lost lost other-address
11.0.0.165
h1 udp mapping=endpoint-independent port=same filtering=none hairpin=yes
h1 tcp mapping=endpoint-independent port=same filtering=none hairpin=yes simultaneous=no
h1 readdress: udp lost lost other-address, tcp lost lost other-address
11.0.0.101
h2 readdress: udp lost lost other-address, tcp lost lost other-address
11.0.0.166
FACTS
}

@test "nothing passes a router that is off, nor to a host whose cable is pulled" {
  script <<'SCRIPT'
"$facts" off h1 h1
"$facts" off h2 h2
"$facts" off h3 carrier3
"$facts" after h2 'h2 reboot 0'
SCRIPT
  lab --hosts 3 --nat h2=open --nat h3=carrier -- bash script <<'FACTS'
off nothing on passes
off nothing on passes
off nothing on passes
h2 reboot 0: udp kept kept same, tcp kept kept same
FACTS
}

@test "a port that a router maps lets strangers in, of any class, and is mapped again after a reboot" {
  script <<'SCRIPT'
for host in h1 h2 h3 h4 h5; do "$facts" mapped $host; done
router h1 reboot 0
"$facts" mapped h1
SCRIPT
  lab --hosts 5 --nat symmetric,port-mapping --nat h2=full-cone,port-mapping --nat h3=no-udp,port-mapping \
    --nat h4=carrier,port-mapping --nat h5=port-restricted -- bash script <<'FACTS'
udp strangers
tcp strangers
udp strangers
tcp strangers
udp nobody
tcp strangers
udp refused-3
tcp refused-3
udp unanswered
tcp unanswered
udp strangers
tcp strangers
FACTS
}

@test "a port that is opened by hand lets strangers in, and stays open" {
  script <<'SCRIPT'
for host in h1 h2 h3; do "$facts" forwarded $host; done
SCRIPT
  lab --hosts 3 --share h1,h2 --nat h3=symmetric -- bash script <<'FACTS'
udp strangers strangers
tcp strangers strangers
udp strangers strangers
tcp strangers strangers
udp strangers strangers
tcp strangers strangers
FACTS
}

@test "a port that a router maps is a pinhole in its firewall, by IPv6" {
  script <<'SCRIPT'
"$facts" -6 mapped h1
router h1 reboot 0
"$facts" -6 classes h1
"$facts" -6 mapped h1
"$facts" -6 mapped h2
SCRIPT
  lab --hosts 2 --ipv6 --nat h1=carrier,port-mapping -- bash script <<'FACTS'
udp strangers
tcp strangers
h1 udp mapping=endpoint-independent port=same filtering=address-and-port hairpin=yes
h1 tcp mapping=endpoint-independent port=same filtering=address-and-port hairpin=yes simultaneous=yes
udp strangers
tcp strangers
udp unanswered
tcp unanswered
FACTS
}

@test "who shares a router shares its address but no port, and reaches the others at home" {
  script <<'SCRIPT'
"$facts" shared h1 h2
address h1
address h2
address --home h2
SCRIPT
  lab --hosts 3 --share h1,h2 --nat h1=full-cone,hairpin -- bash script <<'FACTS'
address=same port=other home=reached hairpin=yes
11.0.0.101
11.0.0.101
192.168.1.102
FACTS
}
