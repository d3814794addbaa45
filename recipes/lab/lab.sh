#!/usr/bin/env bash
# A small internet on this machine: hosts behind NATs and public hosts, as network namespaces.
# shellcheck source=../lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
LAB=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

readonly MOST_HOSTS=64
# The net that the public sides share. It exists inside the laboratory only, and is neither a
# private nor a documentation range, because what runs in there may treat these apart.
readonly PUBLIC_NET=11.0.0
readonly FIRST_PUBLIC=10  # p1 is 11.0.0.11, and so on
readonly FIRST_ROUTER=100 # the router of h1 is 11.0.0.101
readonly QUEUE_MS=50      # of a shaped link, drop-tail

usage() {
  cat <<'TEXT'
usage: lab.sh [--hosts N] [--public N] [--nat KIND] [--rate RATE] [--] COMMAND [ARG]...

Runs COMMAND inside a laboratory of network namespaces: hosts h1, h2, ... each behind a
home router of its own, and public hosts p1, p2, ... that everybody reaches. There,

  on HOST COMMAND [ARG]...     runs a command on a host
  address HOST                 prints where the public side sees it

The laboratory and everything that runs in it end with COMMAND, or with lab.sh, even if
that is killed. Nothing in it reaches the machine's own networks. Needs root, or the right to
make user namespaces.

  --hosts N    hosts behind NATs, default 2
  --public N   public hosts, default 1
  --nat KIND   port-restricted (the default: a mapping of its own for each inner port, open
               to whom the host has sent something) or symmetric (another mapping for each
               destination). Neither lets in what nobody asked for.
  --rate RATE  of every host's link, both ways, as tc(8) writes it: 100mbit

Example:
  ./recipes/lab/lab.sh --hosts 2 --rate 100mbit -- on h1 ip route get 11.0.0.11
TEXT
}

HOSTS=2 PUBLIC=1 NAT=port-restricted RATE='' INSIDE=''
COMMAND=()

parse_options() {
  while (($#)); do
    case $1 in
      --hosts) need_value "$@"; need_count "$1" "$2" 0 "$MOST_HOSTS"; HOSTS=$2; shift ;;
      --public) need_value "$@"; need_count "$1" "$2" 0 "$MOST_HOSTS"; PUBLIC=$2; shift ;;
      --nat)
        need_value "$@"
        [[ $2 == port-restricted || $2 == symmetric ]] ||
          die_usage "--nat $2: expected port-restricted or symmetric"
        NAT=$2
        shift
        ;;
      --rate)
        need_value "$@"
        [[ $2 =~ ^[1-9][0-9]*(k|m|g)bit$ ]] || die_usage "--rate $2: expected a rate like 100mbit"
        RATE=$2
        shift
        ;;
      --inside) INSIDE=yes ;;  # lab.sh calls itself in the new namespaces
      -h | --help) usage; exit 0 ;;
      --) shift; break ;;
      -*) die_usage "unknown option: $1" ;;
      *) break ;;
    esac
    shift
  done
  COMMAND=("$@")
  ((${#COMMAND[@]})) || die_usage "no command: what shall run in the laboratory?"
}

# --- outside: namespaces that die with us ---

# Every namespace belongs to processes below one unshare(1), which takes its first child with
# it when it ends, and dies when this shell does: the kernel does the cleaning up.
enter() {
  local -a namespaces=(--net --mount --pid --fork --kill-child --mount-proc)
  if ((EUID != 0)); then namespaces+=(--user --map-root-user); fi
  unshare "${namespaces[@]}" true 2>/dev/null ||
    die "$EXIT_UNAVAILABLE" "no right to make network namespaces here" "run it as root"
  keep_signals
  setpriv --pdeathsig KILL unshare "${namespaces[@]}" "$LAB/lab.sh" --inside --hosts "$HOSTS" \
    --public "$PUBLIC" --nat "$NAT" ${RATE:+--rate "$RATE"} -- "${COMMAND[@]}" <&0 &
  await_end $! laboratory_of
}

# Signals that come before there is anyone to pass them on to are kept until there is.
INTERRUPTED='' PENDING=()

keep_signals() {
  trap 'INTERRUPTED=yes; PENDING+=(TERM)' TERM
  trap 'INTERRUPTED=yes; PENDING+=(INT)' INT
}

# await_end PROCESS RECEIVER: exits with the code of PROCESS; until then signals go to whom the
# function RECEIVER names. A wait that a signal cut short has the signal's code, not the
# process's, even if that has ended meanwhile: so it is asked again.
await_end() {
  local process=$1 receiver code
  while true; do
    while ((${#PENDING[@]})) && kill -0 "$process" 2>/dev/null; do
      receiver=$("$2" "$process")
      if [[ -z $receiver ]]; then
        sleep 0.05
        continue
      fi
      kill -s "${PENDING[0]}" "$receiver" 2>/dev/null || true
      PENDING=("${PENDING[@]:1}")
    done
    INTERRUPTED='' code=0
    wait "$process" || code=$?
    if [[ -z $INTERRUPTED ]]; then exit "$code"; fi
  done
}

itself() { printf '%s' "$1"; }

# unshare(1) passes nothing on; its child is the laboratory, once that listens to SIGTERM.
laboratory_of() {
  local child='' caught
  read -r child _ <"/proc/$1/task/$1/children" 2>/dev/null || true  # no newline
  if [[ -z $child ]]; then return; fi
  caught=$(awk '/^SigCgt:/ { print $2 }' "/proc/$child/status" 2>/dev/null) || return 0
  if [[ -n $caught ]] && ((16#$caught & 1 << 14)); then printf '%s' "$child"; fi
}

# --- inside ---

in_namespace() {  # in_namespace NAME COMMAND...
  nsenter --net="/run/netns/$1" "${@:2}"
}

new_namespace() {  # new_namespace NAME
  ip netns add "$1"
  in_namespace "$1" ip link set lo up
  # The default may be BBR, which measures the path by itself: figures would not compare.
  in_namespace "$1" sysctl -qw net.ipv4.tcp_congestion_control=cubic 2>/dev/null || true
}

# plug NAME INTERFACE NUMBER: a public address on the shared net
plug() {
  ip link add "to-$1" type veth peer name "$2" netns "$1"
  ip link set "to-$1" master internet up
  in_namespace "$1" ip address add "$PUBLIC_NET.$3/24" dev "$2"
  in_namespace "$1" ip link set "$2" up
}

shape() {  # shape NAMESPACE INTERFACE
  if [[ -z $RATE ]]; then return; fi
  in_namespace "$1" tc qdisc add dev "$2" root tbf rate "$RATE" burst 256kb latency "${QUEUE_MS}ms"
}

# A home router. What comes in unasked is dropped on its outer side: the router must not
# answer for itself either, or a peer's first packet would spoil the mapping it aims at.
add_router() {  # add_router NAME
  local masquerade=masquerade
  if [[ $NAT == symmetric ]]; then masquerade='masquerade fully-random'; fi
  in_namespace "$1" sysctl -qw net.ipv4.ip_forward=1
  in_namespace "$1" nft -f - <<NFT
table ip home {
  chain postrouting {
    type nat hook postrouting priority srcnat
    oifname "wan" $masquerade
  }
  chain input {
    type filter hook input priority filter; policy accept
    iifname "wan" ct state established,related accept
    iifname "wan" drop
  }
  chain forward {
    type filter hook forward priority filter; policy drop
    iifname "lan" accept
    ct state established,related accept
  }
}
NFT
}

add_host() {  # add_host NUMBER
  local host=h$1 router=router$1
  new_namespace "$router"
  plug "$router" wan $((FIRST_ROUTER + $1))
  new_namespace "$host"
  ip link add lan netns "$router" type veth peer name eth0 netns "$host"
  in_namespace "$router" ip address add "192.168.$1.1/24" dev lan
  in_namespace "$router" ip link set lan up
  in_namespace "$host" ip address add "192.168.$1.2/24" dev eth0
  in_namespace "$host" ip link set eth0 up
  in_namespace "$host" ip route add default via "192.168.$1.1"
  add_router "$router"
  shape "$router" wan
  shape "$router" lan
}

build() {
  # Names of namespaces live in /run/netns; this /run is the laboratory's own.
  mount -t tmpfs tmpfs /run
  mkdir /run/netns
  ip link set lo up
  ip link add internet type bridge
  ip link set internet up
  local i
  for ((i = 1; i <= PUBLIC; i++)); do
    new_namespace "p$i"
    plug "p$i" eth0 $((FIRST_PUBLIC + i))
  done
  for ((i = 1; i <= HOSTS; i++)); do add_host "$i"; done
}

# The first process of its namespace gets no signal that it does not ask for.
run_command() {
  export PATH=$LAB/bin:$PATH
  "${COMMAND[@]}" <&0 &
  await_end $! itself
}

main() {
  parse_options "$@"
  local tool
  for tool in ip:iproute2 tc:iproute2 nft:nftables sysctl:procps; do
    need_tool "${tool%:*}" "${tool#*:}"
  done
  if [[ -z $INSIDE ]]; then enter; fi
  keep_signals
  build
  run_command
}

main "$@"
