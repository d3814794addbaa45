# The links of the laboratory's hosts: what was said of them, rates by the kernel, and long links, each
# carried by a process. lab.sh sources it.
# shellcheck shell=bash disable=SC2153  # lab.sh has SEED, LINK_FRAMES and the namespaces

readonly MOST_MS=10000    # of a delay, of jitter, of a queue
readonly LINK_FRAMES=4000 # that the kernel keeps for a long link while others have the processor

# Of links: [up] is what --rate said for all, [h2.up] what --link said for h2.
declare -A SETTING=() UNLESS_SAID=([up]='' [down]='' [queue]=50 [delay-up]=0 [delay-down]=0 [jitter-up]=0
  [jitter-down]=0 [loss-up]=0 [loss-down]=0)

# set_link WORDS PREFIX KEY VALUE: checks and keeps one setting; WORDS are how it was given
set_link() {
  case $3 in
    rate | up | down)
      [[ $4 =~ ^[1-9][0-9]{0,8}(k|m|g)bit$ ]] || die_usage "$1: expected a rate like 100mbit"
      if [[ $3 != down ]]; then SETTING[$2up]=$4; fi
      if [[ $3 != up ]]; then SETTING[$2down]=$4; fi
      ;;
    queue) need_decimal "$1" "$4" 1 "$MOST_MS"; SETTING[$2$3]=$4 ;;
    delay | jitter | delay-up | delay-down | jitter-up | jitter-down)
      need_decimal "$1" "$4" 0 "$MOST_MS"
      set_ways "$2$3" "$4"
      ;;
    loss | loss-up | loss-down) need_decimal "$1" "$4" 0 100; set_ways "$2$3" "$4" ;;
    *)
      die_usage "$1: no key $3: expected rate, up, down, queue, delay, jitter, loss, or one of these three \
with -up or -down"
      ;;
  esac
}

set_ways() {  # set_ways KEY VALUE: both, unless the key says which
  case $1 in
    *-up | *-down) SETTING[$1]=$2 ;;
    *) SETTING[$1-up]=$2 SETTING[$1-down]=$2 ;;
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

ways() {  # ways HOST KEY: what holds for both ways, or for each
  local up down
  up=$(setting "$1" "$2-up") down=$(setting "$1" "$2-down")
  printf '%s' "$up"
  if [[ $down != "$up" ]]; then printf ' %s' "$down"; fi
}

is_long() {  # is_long HOST: more than a rate was asked for, for which not every kernel has a netem
  [[ "$(ways "$1" delay) $(ways "$1" jitter) $(ways "$1" loss)" == *[1-9]* ]]
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
  # shellcheck disable=SC2046  # one value or two
  exec {ready}< <(exec setsid "$LONG_LINK" --name "$1" --near "$near" --far "$far" --seed "$SEED" \
    --up "$(bits_per_s "$(setting "$1" up)")" --down "$(bits_per_s "$(setting "$1" down)")" \
    --queue "$(setting "$1" queue)" --delay $(ways "$1" delay) --jitter $(ways "$1" jitter) \
    --loss $(ways "$1" loss) </dev/null)
  read -r _ <&"$ready" || die "$EXIT_UNAVAILABLE" "the long link of $1 cannot be made (see above)"
  exec {ready}<&-
  ip link set "$near" netns "$2" name "$3" txqueuelen "$LINK_FRAMES"
  ip link set "$far" txqueuelen "$LINK_FRAMES"
}

# shape HOST up|down INTERFACE [COMMAND...]: the rate of one direction, by the kernel, on the
# interface that it leaves by; COMMAND runs tc in that interface's namespace
shape() {
  local rate
  rate=$(setting "$1" "$2")
  if [[ -z $rate ]] || is_long "$1"; then return; fi
  "${@:4}" tc qdisc add dev "$3" root tbf rate "$rate" burst 256kb latency "$(setting "$1" queue)ms"
}
