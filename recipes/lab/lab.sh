#!/usr/bin/env bash
# A small internet on this machine: hosts behind NATs and public hosts, as network namespaces.
# shellcheck source=../lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
LAB=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=link.bash
. "$LAB/link.bash"
# shellcheck source=router.bash
. "$LAB/router.bash"
# shellcheck source=ipv6.bash
. "$LAB/ipv6.bash"

readonly MOST_HOSTS=64
# The net that the public sides share. It exists inside the laboratory only, and is neither a
# private nor a documentation range, because what runs in there may treat these apart.
readonly PUBLIC_NET=11.0.0
readonly FIRST_PUBLIC=10  # p1 is 11.0.0.11, and so on
readonly FIRST_ROUTER=100 # the router of h1 is 11.0.0.101
readonly CARRIERS_NET=100.64  # between a carrier's router and the home's (RFC 6598)

usage() {
  cat <<'TEXT'
usage: lab.sh [--hosts N] [--public N] [--nat [HOST=]KIND]... [OPTION]... [--] COMMAND [ARG]...

Runs COMMAND inside a laboratory of network namespaces: hosts h1, h2, ... each behind a
home router of its own, and public hosts p1, p2, ... that everybody reaches. There,

  on HOST COMMAND [ARG]...     runs a command on a host
  address [-6|--home] HOST     prints where the public side sees it, its IPv6 address, or the one
                               that it has at home
  router HOST VERB             makes its router reboot, forget, change its ports or its address
                               (router --help)
  traffic FROM TO RATE [SECONDS]
                               sends datagrams at random times, until it is told to end

The laboratory and everything that runs in it end with COMMAND, or with lab.sh, even if
that is killed. Nothing in it reaches the machine's own networks. Needs root, or the right to
make user namespaces.

  --hosts N    hosts behind NATs, default 2
  --public N   public hosts, default 1
  --nat [HOST=]KIND[,EXTRA]...
               what the routers do, or that of one host; may be given again. Kinds:
                 open                  no router: the host has a public address itself
                 full-cone             a mapping for each inner port, open to everybody
                 address-restricted    ... open to addresses that the host has sent something
                 port-restricted       ... open to those ports of theirs alone (the default)
                 symmetric             another mapping for each destination, at any port
                 symmetric-sequential  ... at the port after the last one
                 carrier               port-restricted, behind a carrier's router that is, too
                 carrier-symmetric     port-restricted, behind one that is symmetric
                 no-udp                port-restricted, for TCP; nothing else gets out
               Extras:
                 port-mapping  it maps ports for who asks (NAT-PMP, PCP, UPnP); needs miniupnpd
                 hairpin       mappings work from inside, too
  --share HOST,HOST[,HOST]...
               these live behind the router of the first one
  --ipv6       everybody has IPv6, too; routers let in what was asked for
  --congestion NAME
               how TCP reacts to loss on every host, whatever a program asks for, default cubic;
               what the kernel has is in /proc/sys/net/ipv4/tcp_available_congestion_control
  --unlocked   a program that asks for another one gets it

Links of the hosts behind NATs, each way; without any of these they are as fast as the machine:

  --rate RATE     as tc(8) writes it: 100mbit
  --queue MS      how long a packet waits at most to be sent at that rate, default 50: what
                  comes to a queue of that length is dropped
  --delay MS      from one end to the other; a round trip between two hosts takes four times that
  --jitter MS     the delay wanders between that and MS more; packets keep their order
  --loss PERCENT  of IP packets, each by itself
  --seed N        which ones are lost, default 1
  --link HOST=KEY:VALUE[,KEY:VALUE]...
                  what else holds for one host's link, of a public one too; may be given again.
                  Keys: rate, up and down (the rate from and to the host), queue, delay, jitter,
                  loss; the last three with -up or -down for one way only

Examples:
  ./recipes/lab/lab.sh --hosts 2 --rate 100mbit -- on h1 ip route get 11.0.0.11
  ./recipes/lab/lab.sh --nat h1=full-cone --nat h2=symmetric -- router h2 show
  ./recipes/lab/lab.sh --delay 10 --link h2=up:10mbit,down:50mbit,delay:40,loss:0.1 -- bash
TEXT
}

# The machine's default may be BBR, which measures the path by itself: figures would not compare. It
# is a route's property here, because a namespace may not choose what its machine restricts.
CONGESTION=cubic
LOCK=lock  # otherwise what prefers BBR would be measured with it, and called cubic

HOSTS=2 PUBLIC=1 SEED=1 IPV6='' INSIDE=''
COMMAND=() ARGUMENTS=()

# What --nat said: [h2] of one host's home, [all] of the others'.
declare -A NAT_OF=([all]=port-restricted)
declare -A LIVES_WITH=()  # h2 with h1, where they share a router

# set_nat [HOST=]KIND[,EXTRA]...
set_nat() {
  local host=all words=$1 kind extra
  local -a extras
  if [[ $1 == *=* ]]; then
    host=${1%%=*} words=${1#*=}
    need_home "--nat $1" "$host"
  fi
  IFS=, read -ra extras <<<"$words"
  kind=${extras[0]-}
  [[ -n $kind && " ${NAT_KINDS[*]} " == *" $kind "* ]] || die_usage "--nat $1: expected one of ${NAT_KINDS[*]}"
  for extra in "${extras[@]:1}"; do
    [[ -n $extra && " ${NAT_EXTRAS[*]} " == *" $extra "* ]] ||
      die_usage "--nat $1: $extra: expected ${NAT_EXTRAS[*]}"
    can_have "$kind" "$extra" || die_usage "--nat $1: $kind and $extra do not go together"
  done
  NAT_OF[$host]=${extras[*]}
}

need_home() {  # need_home WORDS HOST: one that may be behind a NAT
  if [[ $2 != h* ]] || ! host_exists "$2"; then die_usage "$1: no host $2 behind a NAT in this laboratory"; fi
}

nat_of() { printf '%s' "${NAT_OF[$1]:-${NAT_OF[all]}}"; }

# share HOST,HOST[,HOST]...: the first one's router is that of the others
share() {
  local host
  local -a hosts
  IFS=, read -ra hosts <<<"$1"
  ((${#hosts[@]} > 1)) || die_usage "--share $1: expected HOST,HOST"
  for host in "${hosts[@]}"; do
    need_home "--share $1" "$host"
    [[ -z ${LIVES_WITH[$host]-} ]] || die_usage "--share $1: $host already lives with ${LIVES_WITH[$host]}"
    if [[ $host == "${hosts[0]}" ]]; then continue; fi
    if [[ -n ${NAT_OF[$host]-} || " ${!SETTING[*]}" == *" $host."* ]]; then
      die_usage "--share $1: $host has the router and the link of ${hosts[0]}, and none to be set by --nat or --link"
    fi
    LIVES_WITH[$host]=${hosts[0]}
  done
  [[ $(nat_of "${hosts[0]}") != open* ]] || die_usage "--share $1: ${hosts[0]} is open, without a router to share"
}

host_exists() {
  local most
  case $1 in
    h*) most=$HOSTS ;;
    p*) most=$PUBLIC ;;
    *) return 1 ;;
  esac
  [[ ${1:1} =~ ^[1-9][0-9]?$ ]] && ((${1:1} <= most))
}

parse_options() {
  local -a links=() nats=() shares=()
  local words
  ARGUMENTS=("$@")
  while (($#)); do
    case $1 in
      --hosts) need_value "$@"; need_count "$1" "$2" 0 "$MOST_HOSTS"; HOSTS=$2; shift ;;
      --public) need_value "$@"; need_count "$1" "$2" 0 "$MOST_HOSTS"; PUBLIC=$2; shift ;;
      --nat) need_value "$@"; nats+=("$2"); shift ;;
      --share) need_value "$@"; shares+=("$2"); shift ;;
      --ipv6) IPV6=yes ;;
      --congestion)
        need_value "$@"
        grep -qw -- "$2" /proc/sys/net/ipv4/tcp_available_congestion_control ||
          die_usage "--congestion $2: this kernel has $(</proc/sys/net/ipv4/tcp_available_congestion_control)"
        CONGESTION=$2
        shift
        ;;
      --unlocked) LOCK='' ;;
      --rate | --queue | --delay | --jitter | --loss)
        need_value "$@"
        set_link "$1 $2" '' "${1#--}" "$2"
        shift
        ;;
      --seed) need_value "$@"; need_count "$1" "$2" 0 999999999; SEED=$2; shift ;;
      --link) need_value "$@"; links+=("$2"); shift ;;
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
  for words in "${links[@]}"; do set_links_of "$words"; done
  for words in "${nats[@]}"; do set_nat "$words"; done
  for words in "${shares[@]}"; do share "$words"; done
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
  # unshare(1) holds SIGINT and SIGTERM off, but would die of SIGHUP, with all that it keeps.
  (
    trap '' HUP
    exec "${LISTENING[@]}" setpriv --pdeathsig KILL \
      unshare "${namespaces[@]}" "$LAB/lab.sh" --inside "${ARGUMENTS[@]}"
  ) <&0 &
  await_end $! laboratory_of
}

# Signals that come before there is anyone to pass them on to are kept until there is. Inside,
# SIGHUP is SIGTERM: unshare(1) and what it starts ignore SIGHUP.
PENDING=()

keep_signals() {
  trap 'told 129 TERM' HUP
  trap 'told 130 INT' INT
  trap 'told 143 TERM' TERM
}

told() {  # told CODE SIGNAL
  INTERRUPTED=yes PENDING+=("$2")
  if [[ -z $STOPPED_BY ]]; then STOPPED_BY=$1; fi
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
        pause 0.05
        continue
      fi
      kill -s "${PENDING[0]}" "$receiver" 2>/dev/null || true
      PENDING=("${PENDING[@]:1}")
    done
    INTERRUPTED='' code=0
    wait "$process" || code=$?
    if [[ -n $INTERRUPTED ]]; then continue; fi
    case $code in
      129 | 130 | 143) exit "${STOPPED_BY:-$code}" ;;
      *) exit "$code" ;;
    esac
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

new_namespace() {  # new_namespace NAME
  ip netns add "$1"
  in_namespace "$1" ip link set lo up
  if [[ -n $IPV6 ]]; then prepare_ipv6 "$1"; fi
}

# plug NAME INTERFACE NUMBER HOST: a public address on the shared net, over the host's link
plug() {
  if is_long "$4"; then
    lay_long_link "$4" "$1" "$2"
  else
    ip link add "to-$1" type veth peer name "$2" netns "$1"
  fi
  ip link set "to-$1" master internet up
  in_namespace "$1" ip link set "$2" up
  note "$1" route "$ROUTE"
  take_address "$1" "$2" "$PUBLIC_NET.$3"
  note "$4" outside "$1"
  if [[ -n $IPV6 ]]; then plug_ipv6 "$1" "$2" "$3"; fi
}

# homes: the numbers of the hosts that have a router of their own
homes() {
  local i
  for ((i = 1; i <= HOSTS; i++)); do
    if [[ $(nat_of "h$i") != open* && -z ${LIVES_WITH[h$i]-} ]]; then echo "$i"; fi
  done
}

# add_carrier HOME KIND [EXTRA]...: the router of those who sell the link, with one customer
add_carrier() {
  local carrier=carrier$1 router=router$1
  new_namespace "$carrier"
  plug "$carrier" wan $((FIRST_ROUTER + $1)) "h$1"
  ip link add lan netns "$carrier" type veth peer name wan netns "$router"
  in_namespace "$carrier" ip address add "$CARRIERS_NET.$1.1/24" dev lan
  in_namespace "$carrier" ip link set lan up
  in_namespace "$router" ip link set wan up
  take_address "$router" wan "$CARRIERS_NET.$1.2"
  in_namespace "$router" ip route add default via "$CARRIERS_NET.$1.1"
  if [[ -n $IPV6 ]]; then forward_ipv6 "$carrier"; lead_home_ipv6 "$1"; fi
  be_router "$carrier" "${@:2}"
}

# add_home NUMBER: a router, with its host and those that live there, too
add_home() {
  local host=h$1 router=router$1 other outer
  local -a nat others=()
  read -ra nat <<<"$(nat_of "$host")"
  for other in "${!LIVES_WITH[@]}"; do
    if [[ ${LIVES_WITH[$other]} == "$host" ]]; then others+=("${other:1}"); fi
  done
  new_namespace "$router"
  outer=$(carrier_kind "${nat[0]}")
  if [[ -n $outer ]]; then
    add_carrier "$1" "$outer" ipv6-passes "$(if has_extra hairpin "${nat[@]}"; then echo hairpin; fi)"
    outer=carrier$1
  else
    outer=$router
    plug "$router" wan $((FIRST_ROUTER + $1)) "$host"
  fi
  if ((${#others[@]})); then add_bridge "$router"; fi
  settle "$host" "$1" 2 "${#others[@]}"
  in_namespace "$router" ip address add "192.168.$1.1/24" dev lan
  in_namespace "$router" ip link set lan up
  if [[ -n $IPV6 ]]; then
    forward_ipv6 "$router"
    in_namespace "$router" ip -6 address add "$IPV6_NET:$1::1/64" dev lan
  fi
  for other in "${others[@]}"; do settle "h$other" "$1" $((FIRST_ROUTER + other)) shared; done
  be_router "$router" "${nat[@]}"
  shape "$host" up wan in_namespace "$outer"
  shape "$host" down lan in_namespace "$outer"
}

# add_bridge ROUTER: where hosts of one home meet. Where the kernel shows bridged packets to nft(8) as if
# they were routed, mappings that work from inside would not change them back.
add_bridge() {
  in_namespace "$1" ip link add lan type bridge
  in_namespace "$1" sysctl -eqw net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0
}

# settle HOST HOME NUMBER SHARED: on the home's net, which is a bridge where several hosts SHARE it
settle() {
  local router=router$2 port=lan
  new_namespace "$1"
  if [[ $4 != 0 ]]; then port=to-$1; fi
  ip link add "$port" netns "$router" type veth peer name eth0 netns "$1"
  if [[ $4 != 0 ]]; then in_namespace "$router" ip link set "$port" master lan; fi
  in_namespace "$router" ip link set "$port" up
  in_namespace "$1" ip address add "192.168.$2.$3/24" dev eth0
  in_namespace "$1" ip link set eth0 up
  # shellcheck disable=SC2086  # words
  in_namespace "$1" ip route add default via "192.168.$2.1" $ROUTE
  if [[ -n $IPV6 ]]; then settle_ipv6 "$1" "$2" "$3"; fi
  note "$1" router "$router"
  note "$1" home_address "192.168.$2.$3"
  note "$1" outside "$(noted "h$2" outside)"
}

# add_exposed_host NAME NUMBER: with a public address of its own
add_exposed_host() {
  new_namespace "$1"
  plug "$1" eth0 "$2" "$1"
  shape "$1" up eth0 in_namespace "$1"
  shape "$1" down "to-$1"
}

add_host() {  # add_host NUMBER
  if [[ -n ${LIVES_WITH[h$1]-} ]]; then
    return  # it came with the other's home
  elif [[ $(nat_of "h$1") == open ]]; then
    add_exposed_host "h$1" $((FIRST_ROUTER + $1))
  else
    add_home "$1"
  fi
}

build() {
  # Names of namespaces live in /run/netns; this /run is the laboratory's own.
  mount -t tmpfs tmpfs /run
  mkdir /run/netns
  touch /run/netns/internet
  mount --bind /proc/self/ns/net /run/netns/internet
  ip link set lo up
  ip link add internet type bridge
  ip link set internet up
  # How TCP reacts to loss is a property of routes.
  ROUTE="congctl $LOCK $CONGESTION"
  local i
  for ((i = 1; i <= PUBLIC; i++)); do add_exposed_host "p$i" $((FIRST_PUBLIC + i)); done
  for ((i = 1; i <= HOSTS; i++)); do add_host "$i"; done
}

# The first process of its namespace gets no signal that it does not ask for.
run_command() {
  export PATH=$LAB/bin:$PATH
  "${LISTENING[@]}" "${COMMAND[@]}" <&0 &
  await_end $! itself
}

main() {
  parse_options "$@"
  local tool
  for tool in ip:iproute2 tc:iproute2 nft:nftables sysctl:procps; do
    need_tool "${tool%:*}" "${tool#*:}"
  done
  # shellcheck disable=SC2046  # a word a host; seq, because a range from 1 to 0 shall be empty
  if [[ "${NAT_OF[*]}" == *port-mapping* ]]; then need_tool miniupnpd miniupnpd-nftables; fi
  if [[ -n $IPV6 ]]; then need_ipv6; fi
  find_long_link $(seq -f 'h%g' "$HOSTS") $(seq -f 'p%g' "$PUBLIC")
  if [[ -z $INSIDE ]]; then enter; fi
  keep_signals
  build
  run_command
}

main "$@"
