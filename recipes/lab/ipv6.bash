# IPv6 in the laboratory: addresses of hosts and homes, and the ways between them. A home's hosts are
# seen by the addresses that they have; its router lets in what they asked for (nat.bash). lab.sh sources
# it.
# shellcheck shell=bash disable=SC2154  # lab.sh has the routes' words and the hosts

# Global unicast that nobody was given (RFC 4291, RFC 3587): no documentation range (see PUBLIC_NET).
readonly IPV6_NET=3b00:0:0 IPV6_CARRIERS_NET=3b00:0:1

need_ipv6() {
  [[ -e /proc/sys/net/ipv6 ]] || die "$EXIT_UNAVAILABLE" "--ipv6: this kernel has no IPv6"
}

# prepare_ipv6 NAME: before it has interfaces. Addresses hold at once: nobody else can have them.
prepare_ipv6() { in_namespace "$1" sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0; }

# give_ipv6 NAME INTERFACE ADDRESS
give_ipv6() {
  in_namespace "$1" ip -6 address add "$3/64" dev "$2"
  note "$1" ipv6 "$3"
}

# plug_ipv6 NAME INTERFACE NUMBER: an address on the public net, and the ways from there into homes
plug_ipv6() {
  local home own=''
  give_ipv6 "$1" "$2" "$IPV6_NET:0::$3"
  if ((FIRST_ROUTER < $3)); then own=$(($3 - FIRST_ROUTER)); fi
  {
    echo "route replace $IPV6_NET:0::/64 dev $2 proto kernel metric 256 $ROUTE"
    for home in $(homes); do
      if [[ $home == "$own" ]]; then continue; fi
      echo "route add $IPV6_NET:$home::/64 via $IPV6_NET:0::$((FIRST_ROUTER + home)) $ROUTE"
    done
  } | in_namespace "$1" ip -6 -batch -
}

# forward_ipv6 ROUTER
forward_ipv6() { in_namespace "$1" sysctl -qw net.ipv6.conf.all.forwarding=1; }

# lead_home_ipv6 HOME: from the carrier's router to the home's, and back out
lead_home_ipv6() {
  give_ipv6 "router$1" wan "$IPV6_CARRIERS_NET:$1::2"
  in_namespace "carrier$1" ip -6 address add "$IPV6_CARRIERS_NET:$1::1/64" dev lan
  in_namespace "carrier$1" ip -6 route add "$IPV6_NET:$1::/64" via "$IPV6_CARRIERS_NET:$1::2"
  in_namespace "router$1" ip -6 route add default via "$IPV6_CARRIERS_NET:$1::1"
}

# settle_ipv6 HOST HOME NUMBER: a host of a home
settle_ipv6() {
  give_ipv6 "$1" eth0 "$IPV6_NET:$2::$3"
  # shellcheck disable=SC2086  # words
  in_namespace "$1" ip -6 route add default via "$IPV6_NET:$2::1" $ROUTE
}
