# The classes of home routers, and what each does, in the words of RFC 4787 and RFC 5382, as rules for
# nft(8). lab.sh sources it, and router.bash for what a router does later.
# shellcheck shell=bash disable=SC2034  # lab.sh and router.bash use these

readonly NAT_KINDS=(open full-cone address-restricted port-restricted symmetric symmetric-sequential
  carrier carrier-symmetric no-udp)
readonly NAT_EXTRAS=(hairpin port-mapping)

# How long a mapping that carries nothing lasts: RFC 4787 wants five minutes (REQ-5), RFC 5382 two hours
# and four minutes (REQ-5).
readonly UDP_LASTS_S=300 TCP_LASTS_S=7440

# Outer ports of a symmetric NAT that counts: few enough to load fast.
readonly FIRST_IN_SEQUENCE=20000 IN_SEQUENCE=4096

# By which ports a router's inner ones are seen: nft(8)'s words for those of a mapping that begins.
readonly SAME_PORT=masquerade OTHER_PORT='masquerade fully-random'

# has_extra EXTRA WORD...
has_extra() { [[ " ${*:2} " == *" $1 "* ]]; }

# is_symmetric KIND: each destination has a mapping of its own, so nothing else can use it
is_symmetric() { [[ $1 == *symmetric* ]]; }

# can_have KIND EXTRA. Of symmetric ones nobody inside could use a mapping that another destination has;
# where there is no router, nothing does it.
can_have() {
  if [[ $1 == open ]] || { [[ $2 == hairpin ]] && is_symmetric "$1"; }; then return 1; fi
}

# carrier_kind KIND: that of the outer router, where there are two
carrier_kind() {
  case $1 in
    carrier) printf port-restricted ;;
    carrier-symmetric) printf symmetric ;;
  esac
}

# nat_rules KIND OUTSIDE [EXTRA]...: of a router between the interfaces lan and wan, whose outer address
# is OUTSIDE; with ipv6-passes it has no firewall for that. What comes in unasked is dropped on its outer
# side: the router must not answer for itself either, or a peer's first packet would take the place of the
# mapping that it aims at.
nat_rules() {
  local kind=$1 outside=$2
  shift 2
  cat <<NFT
table inet home {
  set outside {
    type ipv4_addr
    elements = { $outside }
  }
  # Ports that somebody opened by hand
  chain forwarded {
  }
  # Where port mappings that hosts ask for are kept, by miniupnpd(8)
  chain prerouting_miniupnpd {
  }
  chain postrouting_miniupnpd {
  }
  chain miniupnpd {
  }
  chain input {
    type filter hook input priority filter; policy accept
    ct state established,related accept
    iifname "wan" icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
    iifname "wan" drop
  }
  chain forward {
    type filter hook forward priority filter; policy drop
    $(if [[ $kind == no-udp ]]; then echo 'meta l4proto udp drop'; fi)
    $(if has_extra ipv6-passes "$@"; then echo 'meta nfproto ipv6 accept'; fi)
    iifname "lan" accept
    ct state established,related accept
    ct status dnat accept
    jump miniupnpd
  }
  # Outer ports for mappings that begin
  chain allocate {
    meta nfproto ipv4 $(if is_symmetric "$kind"; then echo "$OTHER_PORT"; else echo "$SAME_PORT"; fi)
  }
  chain outgoing {
    type nat hook postrouting priority srcnat
    jump postrouting_miniupnpd
  }
  chain incoming {
    type nat hook prerouting priority dstnat
    iifname "wan" jump forwarded
    iifname "wan" jump prerouting_miniupnpd
  }
}
NFT
  case $kind in
    symmetric-sequential) ports_in_sequence; symmetric_rules ;;
    symmetric) symmetric_rules ;;
    full-cone) endpoint_independent_rules; filter_rules none ;;
    address-restricted) endpoint_independent_rules; filter_rules address ;;
    *) endpoint_independent_rules ;;  # who may answer is what the kernel's conntrack knows
  esac
  if has_extra hairpin "$@"; then hairpin_rules "$outside"; fi
}

symmetric_rules() { echo 'add rule inet home outgoing oifname "wan" goto allocate'; }

# Before the ports of others, which are for what has none.
ports_in_sequence() {
  printf 'insert rule inet home allocate meta nfproto ipv4 meta l4proto { tcp, udp } '
  printf 'masquerade to :numgen inc mod %d map { ' "$IN_SEQUENCE"
  seq "$IN_SEQUENCE" | awk -v first="$FIRST_IN_SEQUENCE" '{ printf "%d : %d, ", NR - 1, first + NR - 1 }'
  printf '}\n'
}

# An inner port has the same outer one whatever it sends to: the first packet's is kept.
endpoint_independent_rules() {
  cat <<NFT
table inet home {
  map outer {
    type inet_proto . ipv4_addr . inet_service : inet_service
    size 65535
    flags dynamic,timeout
  }
  map inner {
    type inet_proto . inet_service : ipv4_addr . inet_service
    size 65535
    flags dynamic,timeout
  }
  chain learn {
    type filter hook postrouting priority srcnat + 1
    oifname "wan" ct direction original meta nfproto ipv4 meta l4proto { tcp, udp } goto learned
  }
  chain learned {
    $(learn 'meta l4proto . ct original ip saddr . ct original proto-src' outer 'th sport')
    $(learn 'meta l4proto . th sport' inner 'ct original ip saddr . ct original proto-src')
  }
}
# An inner port whose number is another's outside gets another one.
insert rule inet home allocate meta l4proto . th sport @inner $OTHER_PORT
add rule inet home outgoing oifname "wan" meta l4proto { tcp, udp } masquerade to :meta l4proto . ip saddr . th sport map @outer
add rule inet home outgoing oifname "wan" goto allocate
NFT
}

# learn KEY MAP [DATA]: each packet that goes out keeps it for as long as the protocol's mappings last
learn() {
  printf 'meta l4proto udp update @%s { %s timeout %ss%s }\n' "$2" "$1" "$UDP_LASTS_S" "${3:+ : $3}"
  printf '    meta l4proto tcp update @%s { %s timeout %ss%s }' "$2" "$1" "$TCP_LASTS_S" "${3:+ : $3}"
}

# filter_rules none|address: which strangers reach a mapping
filter_rules() {
  local known=''
  if [[ $1 == address ]]; then
    known='meta l4proto . th dport . ip saddr @contacted '
    cat <<NFT
table inet home {
  set contacted {
    type inet_proto . inet_service . ipv4_addr
    size 65535
    flags dynamic,timeout
  }
  chain learned {
    $(learn 'meta l4proto . th sport . ct original ip daddr' contacted)
  }
}
NFT
  fi
  echo "add rule inet home incoming iifname \"wan\" ${known}dnat ip to meta l4proto . th dport map @inner"
}

# hairpin_rules OUTSIDE: who is inside reaches mappings by their outer ports, and is seen by its own (RFC
# 4787, REQ-9). What has no mapping gets no answer, or it would take the place of one to come.
hairpin_rules() {
  cat <<NFT
table inet home {
  chain hairpin {
    $(hairpin_source "$1")
  }
}
insert rule inet home input iifname "lan" ip daddr @outside drop
add rule inet home incoming iifname "lan" ip daddr @outside dnat ip to meta l4proto . th dport map @inner
add rule inet home outgoing iifname "lan" oifname "lan" ct status dnat meta l4proto { tcp, udp } goto hairpin
add rule inet home learn iifname "lan" oifname "lan" ct direction original ct status dnat meta l4proto { tcp, udp } goto learned
NFT
}

hairpin_source() {  # hairpin_source OUTSIDE
  cat <<NFT
meta l4proto { tcp, udp } snat ip to $1:meta l4proto . ip saddr . th sport map @outer
    meta l4proto . th sport @inner snat ip to $1 fully-random
    snat ip to $1
NFT
}

# outside_rules FORMER OUTSIDE [EXTRA]...: a router's, once it has another outer address
outside_rules() {
  echo "delete element inet home outside { $1 }"
  echo "add element inet home outside { $2 }"
  if ! has_extra hairpin "${@:3}"; then return; fi
  echo 'flush chain inet home hairpin'
  printf 'table inet home {\n  chain hairpin {\n    %s\n  }\n}\n' "$(hairpin_source "$2")"
}
