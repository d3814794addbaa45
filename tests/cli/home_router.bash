# A router for the host of a test, to be sourced in network namespaces of its own: fake_gateway.py, at
# an address that is this host's as well, which is enough to be asked.
# shellcheck shell=bash

# home_network routed|unrouted|v6: the host's net, 192.168.1.0/24, and its default route unless it has
# none; v6: and 2001:db8:1::/64, with a router of its own.
# The router's address comes after the route, which the kernel would refuse otherwise.
home_network() {
  ip link set lo up
  ip link add home type veth peer name elsewhere
  ip link set home up
  ip link set elsewhere up
  ip address add 192.168.1.2/24 dev home
  if [[ $1 == unrouted ]]; then return; fi
  ip route add default via 192.168.1.1
  ip address add 192.168.1.1/32 dev lo
  ip address add 192.168.1.66/32 dev lo  # somebody else's
  if [[ $1 != v6 ]]; then return; fi
  ip address add 2001:db8:1::2/64 dev home nodad
  ip route add default via 2001:db8:1::1 dev home
  ip address add 2001:db8:1::1/128 dev lo nodad
}

# home_router [OPTION]...: in the background, once it listens; its process is $GATEWAY, and what it is
# asked is in ./gateway.log.
home_router() {
  local i
  rm -f gateway.log
  python3 "${BASH_SOURCE[0]%/*}/fake_gateway.py" "$@" >gateway.log &
  export GATEWAY=$!
  for ((i = 0; i < 1200; i++)); do
    if [[ -s gateway.log ]]; then return; fi
    sleep 0.05
  done
  return 1
}
