# The router of h1 in the laboratory as one that maps ports: miniupnpd, which people have. To be
# sourced by what runs inside lab.sh.
# shellcheck shell=bash

# shellcheck source=../waits.bash
. "$(dirname "${BASH_SOURCE[0]}")/../waits.bash"

WAN=11.0.0.101

at_router() { nsenter --net=/run/netns/router1 "$@"; }

# The chains that miniupnpd fills; what it lets in, the laboratory's router lets pass.
make_chains() {
  at_router nft -f - <<'NFT'
table inet filter {
  chain forward {
    type filter hook forward priority filter; policy accept
    jump miniupnpd
  }
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept
    jump prerouting_miniupnpd
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept
    jump postrouting_miniupnpd
  }
  chain miniupnpd {
  }
  chain prerouting_miniupnpd {
  }
  chain postrouting_miniupnpd {
  }
}
NFT
}

# start_router [LINE]...: with these lines in its configuration as well
start_router() {
  at_router nft list table inet filter >/dev/null 2>&1 || make_chains
  at_router ip route replace 239.0.0.0/8 dev lan
  printf '%s\n' ext_ifname=wan listening_ip=lan http_port=0 enable_upnp=yes secure_mode=yes \
    system_uptime=no min_lifetime=10 max_lifetime=3600 notify_interval=900 \
    uuid=7c7b5619-95d5-4429-8e05-eac1c496a341 "$@" \
    'allow 1024-65535 192.168.1.0/24 1024-65535' 'deny 0-65535 0.0.0.0/0 0-65535' >miniupnpd.conf
  rm -f miniupnpd.pid
  nsenter --net=/run/netns/router1 miniupnpd -d -f miniupnpd.conf -P "$PWD/miniupnpd.pid" \
    >>miniupnpd.log 2>&1 &
  ROUTER=$!
  within listens
}

# listens: to what its configuration has switched on
listens() {
  at_router ss -Hlun | grep -q ':1900 ' || return 1
  if grep -q enable_natpmp=yes miniupnpd.conf; then at_router ss -Hlun | grep -q ':5351 '; fi
}

# What it has mapped is gone as well, as when it is switched off.
stop_router() {
  kill -KILL "$ROUTER"
  wait "$ROUTER" 2>/dev/null || true
  at_router nft flush chain inet filter miniupnpd
  at_router nft flush chain inet filter prerouting_miniupnpd
  at_router nft flush chain inet filter postrouting_miniupnpd
}

# mapped PORT: the router leads it to h1
mapped() { at_router nft list chain inet filter prerouting_miniupnpd | grep -q "dport $1 "; }
unmapped() { ! mapped "$1"; }

# greets PORT: somebody on the internet reaches it
greets() {
  [[ $(on p1 timeout 5 socat -T 5 - "TCP:$WAN:$1" </dev/null) == hello ]]
}
