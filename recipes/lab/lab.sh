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
readonly MOST_MS=10000    # of a delay, of jitter, of a queue
readonly LINK_FRAMES=4000 # that the kernel keeps for a long link while others have the processor

usage() {
  cat <<'TEXT'
usage: lab.sh [--hosts N] [--public N] [--nat KIND] [LINK-OPTION]... [--] COMMAND [ARG]...

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
                  loss

Examples:
  ./recipes/lab/lab.sh --hosts 2 --rate 100mbit -- on h1 ip route get 11.0.0.11
  ./recipes/lab/lab.sh --delay 10 --link h2=up:10mbit,down:50mbit,delay:40,loss:0.1 -- bash
TEXT
}

# The machine's default may be BBR, which measures the path by itself: figures would not compare. It
# is a route's property here, because a namespace may not choose what its machine restricts.
CONGESTION=cubic
LOCK=lock  # otherwise what prefers BBR would be measured with it, and called cubic

HOSTS=2 PUBLIC=1 NAT=port-restricted SEED=1 INSIDE=''
COMMAND=() ARGUMENTS=()

# Of links: [up] is what --rate said for all, [h2.up] what --link said for h2.
declare -A SETTING=() UNLESS_SAID=([up]='' [down]='' [queue]=50 [delay]=0 [jitter]=0 [loss]=0)

# set_link WORDS PREFIX KEY VALUE: checks and keeps one setting; WORDS are how it was given
set_link() {
  case $3 in
    rate | up | down)
      [[ $4 =~ ^[1-9][0-9]{0,8}(k|m|g)bit$ ]] || die_usage "$1: expected a rate like 100mbit"
      if [[ $3 != down ]]; then SETTING[$2up]=$4; fi
      if [[ $3 != up ]]; then SETTING[$2down]=$4; fi
      ;;
    queue) need_decimal "$1" "$4" 1 "$MOST_MS"; SETTING[$2$3]=$4 ;;
    delay | jitter) need_decimal "$1" "$4" 0 "$MOST_MS"; SETTING[$2$3]=$4 ;;
    loss) need_decimal "$1" "$4" 0 100; SETTING[$2$3]=$4 ;;
    *) die_usage "$1: no key $3: expected rate, up, down, queue, delay, jitter or loss" ;;
  esac
}

# need_decimal WORDS VALUE LOWEST HIGHEST: like 12 or 0.25, from one whole number to another
need_decimal() {
  local decimal='^([0-9]{1,6})(\.[0-9]{1,6})?$'
  if ! [[ $2 =~ $decimal ]] || ((10#${BASH_REMATCH[1]} < $3 || 10#${BASH_REMATCH[1]} > $4)) ||
    { ((10#${BASH_REMATCH[1]} == $4)) && [[ ${BASH_REMATCH[2]} == *[1-9]* ]]; }; then
    die_usage "$1: expected a number from $3 to $4"
  fi
}

# set_links_of HOST=KEY:VALUE[,KEY:VALUE]...
set_links_of() {
  local host=${1%%=*} pair
  local -a pairs
  [[ $1 == *=* ]] || die_usage "--link $1: expected HOST=KEY:VALUE"
  host_exists "$host" || die_usage "--link $1: no host $host in this laboratory"
  IFS=, read -ra pairs <<<"${1#*=}"
  ((${#pairs[@]})) || die_usage "--link $1: expected HOST=KEY:VALUE"
  for pair in "${pairs[@]}"; do
    [[ $pair == *:* ]] || die_usage "--link $1: expected KEY:VALUE, not $pair"
    set_link "--link $host=$pair" "$host." "${pair%%:*}" "${pair#*:}"
  done
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
  local -a links=()
  local host
  ARGUMENTS=("$@")
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
  for host in "${links[@]}"; do set_links_of "$host"; done
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

in_namespace() {  # in_namespace NAME COMMAND...
  nsenter --net="/run/netns/$1" "${@:2}"
}

new_namespace() {  # new_namespace NAME
  ip netns add "$1"
  in_namespace "$1" ip link set lo up
}

# setting HOST KEY: what was said of its link, or of all links of hosts behind NATs
setting() {
  if [[ -v SETTING[$1.$2] ]]; then
    printf '%s' "${SETTING[$1.$2]}"
  elif [[ $1 == h* && -v SETTING[$2] ]]; then
    printf '%s' "${SETTING[$2]}"
  else
    printf '%s' "${UNLESS_SAID[$2]}"
  fi
}

is_long() {  # is_long HOST: more than a rate was asked for, for which not every kernel has a netem
  [[ $(setting "$1" delay)$(setting "$1" jitter)$(setting "$1" loss) == *[1-9]* ]]
}

bits_per_s() {  # bits_per_s RATE: 20mbit is 20000000; none is 0
  local digits=${1%%[kmg]*}
  case $1 in
    *kbit) printf '%s000' "$digits" ;;
    *mbit) printf '%s000000' "$digits" ;;
    *gbit) printf '%s000000000' "$digits" ;;
    *) printf 0 ;;
  esac
}

LONG_LINK=''  # the program, where one of these hosts needs it

find_long_link() {  # find_long_link HOST...
  local host
  for host in "$@"; do
    if is_long "$host"; then
      LONG_LINK=$(find_part lab-link)
      return
    fi
  done
}

# A cable that a process carries: it makes the two devices and says so, and ends with us. In a
# session of its own: a signal to our process group must not cut it.
lay_long_link() {  # lay_long_link HOST NAME INTERFACE
  local ready near=at-$2 far=to-$2
  # Its output is the pipe's alone: who waits for ours to end shall not wait for it.
  exec {ready}< <(exec setsid "$LONG_LINK" --name "$1" --near "$near" --far "$far" --seed "$SEED" \
    --up "$(bits_per_s "$(setting "$1" up)")" --down "$(bits_per_s "$(setting "$1" down)")" \
    --queue "$(setting "$1" queue)" --delay "$(setting "$1" delay)" \
    --jitter "$(setting "$1" jitter)" --loss "$(setting "$1" loss)" </dev/null)
  read -r _ <&"$ready" || die "$EXIT_UNAVAILABLE" "the long link of $1 cannot be made (see above)"
  exec {ready}<&-
  ip link set "$near" netns "$2" name "$3" txqueuelen "$LINK_FRAMES"
  ip link set "$far" txqueuelen "$LINK_FRAMES"
}

# plug NAME INTERFACE NUMBER HOST: a public address on the shared net, over the host's link
plug() {
  if is_long "$4"; then
    lay_long_link "$4" "$1" "$2"
  else
    ip link add "to-$1" type veth peer name "$2" netns "$1"
  fi
  ip link set "to-$1" master internet up
  in_namespace "$1" ip address add "$PUBLIC_NET.$3/24" dev "$2"
  in_namespace "$1" ip link set "$2" up
  # shellcheck disable=SC2086  # a word or none
  in_namespace "$1" ip route replace "$PUBLIC_NET.0/24" dev "$2" proto kernel scope link \
    src "$PUBLIC_NET.$3" congctl $LOCK "$CONGESTION"
}

# shape HOST up|down INTERFACE [COMMAND...]: the rate of one direction, by the kernel, on the
# interface that it leaves by; COMMAND runs tc in that interface's namespace
shape() {
  local rate
  rate=$(setting "$1" "$2")
  if [[ -z $rate ]] || is_long "$1"; then return; fi
  "${@:4}" tc qdisc add dev "$3" root tbf rate "$rate" burst 256kb latency "$(setting "$1" queue)ms"
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
  plug "$router" wan $((FIRST_ROUTER + $1)) "$host"
  new_namespace "$host"
  ip link add lan netns "$router" type veth peer name eth0 netns "$host"
  in_namespace "$router" ip address add "192.168.$1.1/24" dev lan
  in_namespace "$router" ip link set lan up
  in_namespace "$host" ip address add "192.168.$1.2/24" dev eth0
  in_namespace "$host" ip link set eth0 up
  # shellcheck disable=SC2086  # a word or none
  in_namespace "$host" ip route add default via "192.168.$1.1" congctl $LOCK "$CONGESTION"
  add_router "$router"
  shape "$host" up wan in_namespace "$router"
  shape "$host" down lan in_namespace "$router"
}

add_public_host() {  # add_public_host NUMBER
  new_namespace "p$1"
  plug "p$1" eth0 $((FIRST_PUBLIC + $1)) "p$1"
  shape "p$1" up eth0 in_namespace "p$1"
  shape "p$1" down "to-p$1"
}

build() {
  # Names of namespaces live in /run/netns; this /run is the laboratory's own.
  mount -t tmpfs tmpfs /run
  mkdir /run/netns
  ip link set lo up
  ip link add internet type bridge
  ip link set internet up
  local i
  for ((i = 1; i <= PUBLIC; i++)); do add_public_host "$i"; done
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
  find_long_link $(seq -f 'h%g' "$HOSTS") $(seq -f 'p%g' "$PUBLIC")
  if [[ -z $INSIDE ]]; then enter; fi
  keep_signals
  build
  run_command
}

main "$@"
