# What becomes of a router of the laboratory: it begins, forgets, changes its ports or its address, goes
# off and on. Also of the link of a host that has no router. lab.sh sources it, and bin/router.
# shellcheck shell=bash
# shellcheck source=nat.bash
. "$(dirname "${BASH_SOURCE[0]}")/nat.bash"

readonly LAB_STATE=/run/lab  # a folder for each namespace, a file for what is known of it
readonly ADDRESSES_APART=64  # an outer address and the one that it changes to

in_namespace() {  # in_namespace NAME COMMAND...
  nsenter --net="/run/netns/$1" "${@:2}"
}

# note NAME KEY VALUE, and noted NAME KEY, empty where it was not
note() {
  if [[ ! -e $LAB_STATE/$1 ]]; then mkdir -p "$LAB_STATE/$1"; fi
  printf '%s\n' "$3" >"$LAB_STATE/$1/$2"
}
noted() {
  if [[ -e $LAB_STATE/$1/$2 ]]; then printf '%s' "$(<"$LAB_STATE/$1/$2")"; fi
}

# take_address NAME INTERFACE ADDRESS: as the outer one
take_address() {
  in_namespace "$1" ip address add "$3/24" dev "$2"
  # shellcheck disable=SC2046  # words
  in_namespace "$1" ip route replace "${3%.*}.0/24" dev "$2" proto kernel scope link src "$3" $(noted "$1" route)
  note "$1" address "$3"
}

# be_router NAME KIND [EXTRA]...: between lan and wan, which have their addresses
be_router() {
  local name=$1
  shift
  in_namespace "$name" sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.send_redirects=0
  note "$name" nat "$*"
  load_rules "$name"
  # What the rules keep ends no sooner than what the kernel does.
  in_namespace "$name" sysctl -qw "net.netfilter.nf_conntrack_udp_timeout=$UDP_LASTS_S" \
    "net.netfilter.nf_conntrack_udp_timeout_stream=$UDP_LASTS_S" \
    "net.netfilter.nf_conntrack_tcp_timeout_established=$TCP_LASTS_S"
  if has_extra port-mapping "$@"; then start_port_mapping "$name"; fi
}

load_rules() {  # load_rules NAME
  local -a nat
  read -ra nat <<<"$(noted "$1" nat)"
  {
    nat_rules "${nat[0]}" "$(noted "$1" address)" "${nat[@]:1}"
    noted "$1" forwards
  } | in_namespace "$1" nft -f -
}

# forward NAME HOST-ADDRESS tcp|udp PORT: opened by hand, so that a reboot leaves it open
forward() {
  local rule="add rule inet home forwarded $3 dport $4 dnat ip to $2"
  in_namespace "$1" nft "$rule"
  note "$1" forwards "$(noted "$1" forwards)"$'\n'"$rule"
}

# --- port mappings that hosts ask for ---

# miniupnpd(8) answers NAT-PMP, PCP and UPnP.
start_port_mapping() {  # start_port_mapping NAME
  local folder=$LAB_STATE/$1 i
  cat >"$folder/miniupnpd.conf" <<CONF
ext_ifname=wan
listening_ip=lan
http_port=0
enable_natpmp=yes
enable_upnp=yes
secure_mode=yes
uuid=$(</proc/sys/kernel/random/uuid)
upnp_table_name=home
upnp_nat_table_name=home
upnp_forward_chain=miniupnpd
upnp_nat_chain=prerouting_miniupnpd
upnp_nat_postrouting_chain=postrouting_miniupnpd
allow 1024-65535 0.0.0.0/0 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
CONF
  in_namespace "$1" ip route replace 239.0.0.0/8 dev lan  # UPnP's questions and answers
  in_namespace "$1" setsid miniupnpd -f "$folder/miniupnpd.conf" -P "$folder/miniupnpd.pid" </dev/null >/dev/null 2>&1
  for ((i = 0; i < 600; i++)); do
    if [[ -n $(in_namespace "$1" ss -Hlun 'sport = 5351') ]]; then return; fi
    sleep 0.05
  done
  echo "the miniupnpd of $1 does not answer" >&2
  return 1
}

# --- what happens to it ---

has_nat() { [[ -n $(noted "$1" nat) ]]; }

keeps() {  # keeps NAME map|set WHAT
  in_namespace "$1" nft list "$2" inet home "$3" >/dev/null 2>&1
}

# forget NAME: every mapping and whom it was open to
forget() {
  has_nat "$1" || return 0
  {
    if keeps "$1" map inner; then printf 'flush map inet home outer\nflush map inet home inner\n'; fi
    if keeps "$1" set contacted; then echo 'flush set inet home contacted'; fi
  } | in_namespace "$1" nft -f -
  in_namespace "$1" conntrack -F >/dev/null 2>&1
}

# forget_port NAME HOST-ADDRESS tcp|udp PORT: the mapping of one inner port
forget_port() {
  local outer
  if keeps "$1" map inner; then
    outer=$(in_namespace "$1" nft get element inet home outer "{ $3 . $2 . $4 }" 2>/dev/null |
      sed -n 's/.* : \([0-9]*\) }$/\1/p')
    if [[ -n $outer ]]; then
      printf '%s\n' "delete element inet home outer { $3 . $2 . $4 }" "delete element inet home inner { $3 . $outer }" |
        in_namespace "$1" nft -f -
    fi
  fi
  # It fails where there is none: first what the host began, then what others did.
  in_namespace "$1" conntrack -D -p "$3" --orig-src "$2" --orig-port-src "$4" >/dev/null 2>&1 || true
  in_namespace "$1" conntrack -D -p "$3" --reply-src "$2" --reply-port-src "$4" >/dev/null 2>&1 || true
}

# rebind NAME: it forgets, and inner ports that are used again get other outer ones than their own
rebind() {
  local kind
  kind=$(noted "$1" nat)
  if ! is_symmetric "${kind%% *}"; then  # they get others anyway
    in_namespace "$1" nft -f - <<NFT
flush chain inet home allocate
add rule inet home allocate meta nfproto ipv4 $OTHER_PORT
NFT
  fi
  forget "$1"
}

# readdress NAME INTERFACE: another outer address; the next time the first one again
readdress() {
  local former address last step=$ADDRESSES_APART
  former=$(noted "$1" address)
  last=${former##*.}
  if [[ -n $(noted "$1" moved) ]]; then step=-$step; fi
  address=${former%.*}.$((last + step))
  if grep -qxF "$address" "$LAB_STATE"/*/address; then
    echo "router: error: $1 cannot have $address, which is another's" >&2
    return 1
  fi
  note "$1" moved "${step#-"$ADDRESSES_APART"}"
  in_namespace "$1" sysctl -qw "net.ipv4.conf.$2.promote_secondaries=1"
  take_address "$1" "$2" "$address"
  in_namespace "$1" ip address delete "$former/24" dev "$2"
  if has_nat "$1"; then
    # shellcheck disable=SC2046  # words
    in_namespace "$1" nft -f - < <(outside_rules "$former" "$address" $(noted "$1" nat))
    forget "$1"
  fi
}

# go_off NAME: nothing passes any more, and nothing is kept. What has no router has its cable pulled.
go_off() {
  if ! has_nat "$1"; then
    in_namespace internet ip link set "to-$1" nomaster
  elif ! is_off "$1"; then
    in_namespace "$1" nft -f - <<'NFT'
delete table inet home
table inet off {
  chain incoming {
    type filter hook prerouting priority raw - 10; policy drop
  }
  chain outgoing {
    type filter hook output priority raw - 10; policy drop
  }
}
NFT
    in_namespace "$1" conntrack -F >/dev/null 2>&1
    if maps_ports "$1"; then kill -KILL "$(noted "$1" miniupnpd.pid)"; fi
  fi
}

go_on() {  # go_on NAME
  if ! has_nat "$1"; then
    in_namespace internet ip link set "to-$1" master internet
  elif is_off "$1"; then
    load_rules "$1"
    in_namespace "$1" nft delete table inet off
    if maps_ports "$1"; then start_port_mapping "$1"; fi
  fi
}

is_off() { in_namespace "$1" nft list table inet off >/dev/null 2>&1; }

maps_ports() {
  # shellcheck disable=SC2046  # words
  has_extra port-mapping $(noted "$1" nat)
}
