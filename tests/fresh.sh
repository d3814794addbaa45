#!/usr/bin/env bash
# The two commands of the README, on a bare Debian of another release, in a clean clone.
# shellcheck source=../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../recipes/lib.sh"

readonly COMMANDS=(quickstart tests)
declare -rA SCRIPT=([quickstart]=recipes/quickstart.sh [tests]=tests/run.sh)
readonly CLONE=/root/ptrain  # in the system

usage() {
  cat <<'TEXT'
usage: fresh.sh SUITE [--only COMMAND]... [--root FOLDER] [--cache FOLDER] [--mirror URL]
                [-- ARGUMENT...]

Makes a bare Debian with debootstrap, clones the checkout's HEAD into it, and runs there

  quickstart   recipes/quickstart.sh
  tests        tests/run.sh

SUITE is bookworm (Debian 12) or trixie (13), or another that debootstrap knows. What they
say goes to stderr; on stdout is a line of TAP for each, with the time it took. Needs root,
the network, and some 12 GiB of disk. The system goes away at the end, even if this is killed.

  --only COMMAND  this one alone; may be given again. What follows -- is given to it
  --root FOLDER   the system lies in FOLDER and stays; one that is there is used again
  --cache FOLDER  keeps packages and compiled objects for the next time
  --mirror URL    where packages come from; by default the mirror that this system uses

Example:
  sudo ./tests/fresh.sh trixie --only quickstart
TEXT
}

SUITE='' CHOSEN=() SYSTEM='' CACHE='' MIRROR='' ARGUMENTS=()

parse_options() {
  while (($#)); do
    case $1 in
      --only)
        need_value "$@"
        [[ " ${COMMANDS[*]} " == *" $2 "* ]] || die_usage "--only $2: expected one of ${COMMANDS[*]}"
        CHOSEN+=("$2")
        shift
        ;;
      --root) need_value "$@"; SYSTEM=$2; shift ;;
      --cache) need_value "$@"; CACHE=$2; shift ;;
      --mirror) need_value "$@"; MIRROR=$2; shift ;;
      -h | --help) usage; exit 0 ;;
      --) shift; ARGUMENTS=("$@"); break ;;
      -*) die_usage "unknown option: $1" ;;
      *)
        [[ -z $SUITE && $1 =~ ^[a-z]+$ ]] || die_usage "$1: expected one suite, such as bookworm"
        SUITE=$1
        ;;
    esac
    shift
  done
  [[ -n $SUITE ]] || die_usage "no suite: bookworm or trixie?"
  if ((${#CHOSEN[@]} == 0)); then CHOSEN=("${COMMANDS[@]}"); fi
  if ((${#ARGUMENTS[@]} && ${#CHOSEN[@]} != 1)); then die_usage "arguments after -- go with one --only"; fi
}

check_system() {
  ((EUID == 0)) || die "$EXIT_PERMISSION" "making a system of its own needs root" "sudo $0 $SUITE"
  need_tool debootstrap debootstrap
  need_tool git git
  unshare --mount --pid --fork true 2>/dev/null ||
    die "$EXIT_UNAVAILABLE" "this system allows no mount namespaces" "a container may lack CAP_SYS_ADMIN"
}

# --- the system ---

# Whoever still holds the pipe is at work in the system; when the last of them is gone, however
# they ended, it goes away. Mounts are gone before: they belong to a namespace of the workers.
make_temporary_system() {
  local pipe
  SYSTEM=$(mktemp -d "/var/tmp/ptrain-$SUITE-XXXXXX") || die "$EXIT_IO" "no folder can be made in /var/tmp"
  exec {pipe}> >(trap '' INT TERM HUP; cat >/dev/null; rm -rf --one-file-system "$SYSTEM")
  on_exit "exec $pipe>&-; wait $! || true"
}

# worker COMMAND...: with processes and mounts of its own, which end when we end, however that is
WORKER=''
worker() {
  setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc "$@" </dev/null &
  WORKER=$!
  wait "$WORKER"
}

# shellcheck disable=SC2317  # on_exit calls it
stop_worker() {
  if [[ -n $WORKER ]]; then
    kill -s KILL "$WORKER" 2>/dev/null || true
    wait "$WORKER" 2>/dev/null || true
  fi
}

# The mirror of this system's own Debian, else debootstrap's default.
own_mirror() {
  # shellcheck disable=SC2016  # apt expands it
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' \
    2>/dev/null | head -n 1
}

make_bare_system() {
  local log=$TEMP_FOLDER/debootstrap.log
  local -a options=(--variant=minbase)
  if [[ -n $CACHE ]]; then options+=(--cache-dir="$CACHE/packages"); fi
  if ! worker debootstrap "${options[@]}" "$SUITE" "$SYSTEM" ${MIRROR:+"$MIRROR"} >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    die "$EXIT_UNAVAILABLE" "debootstrap $SUITE failed (its last lines are above)" \
      "check the network and the mirror${MIRROR:+ $MIRROR}"
  fi
}

# How this system reaches its mirror, so that the new one does, too; and names for loopback and for
# itself, as an installer makes them.
set_up_network() {
  cp -L /etc/resolv.conf "$SYSTEM/etc/resolv.conf"
  printf '127.0.0.1 localhost\n127.0.1.1 %s\n::1 localhost\n' "$HOSTNAME" >"$SYSTEM/etc/hosts"
  apt-config dump 2>/dev/null |
    grep -iE '^Acquire::([a-z]+::Proxy|Check-Valid-Until|Check-Date|Retries)' \
      >"$SYSTEM/etc/apt/apt.conf.d/90host" || true
}

clone_checkout() {
  rm -rf "${SYSTEM:?}$CLONE"
  git clone -q --no-hardlinks --depth 1 "file://$ROOT" "$SYSTEM$CLONE"
}

# in_system COMMAND...: in the clone, with a root of its own and nothing of this system's environment
in_system() { worker "$ROOT/tests/fresh.sh" --inside "$SYSTEM" "$CACHE" "$@" >&2; }

# The root is a mount of its own, or nobody in there could make namespaces again, as the
# laboratory does; and by pivot_root, because a chroot forbids namespaces of users.
inside() {  # inside SYSTEM CACHE COMMAND...
  local system=$1 cache=$2
  mount --make-rprivate /
  mount --bind "$system" "$system"
  mount -t proc proc "$system/proc"
  mount --rbind /sys "$system/sys"
  mount --rbind /dev "$system/dev"
  if [[ -n $cache ]]; then
    mkdir -p "$system/root/.cache/ccache"
    mount --bind "$cache/packages" "$system/var/cache/apt/archives"
    mount --bind "$cache/ccache" "$system/root/.cache/ccache"
  fi
  mkdir -p "$system/.outside"
  cd "$system"
  pivot_root . .outside
  umount -l /.outside
  cd "$CLONE"
  exec env -i HOME=/root TERM=dumb PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    "${@:3}"
}

main() {
  if [[ ${1-} == --inside ]]; then inside "${@:2}"; fi  # fresh.sh calls itself in the new namespaces
  parse_options "$@"
  check_system
  make_temp_folder
  trap 'exit 130' INT
  trap 'exit 143' TERM
  trap 'exit 129' HUP
  if [[ -n $CACHE ]]; then
    mkdir -p "$CACHE/packages/partial" "$CACHE/ccache" || die "$EXIT_IO" "folder $CACHE cannot be made"
    CACHE=$(cd "$CACHE" && pwd)
  fi
  if [[ -z $MIRROR ]]; then MIRROR=$(own_mirror); fi
  if [[ -z $SYSTEM ]]; then make_temporary_system; fi
  on_exit stop_worker
  mkdir -p "$SYSTEM" || die "$EXIT_IO" "folder $SYSTEM cannot be made"
  SYSTEM=$(cd "$SYSTEM" && pwd)

  local begun=$SECONDS i command verdict code=0
  if [[ ! -f $SYSTEM/etc/debian_version ]]; then
    say "a bare $SUITE in $SYSTEM"
    make_bare_system
    say "made in $(duration $((SECONDS - begun)))"
  fi
  set_up_network
  clone_checkout

  printf '1..%d\n' "${#CHOSEN[@]}"
  for i in "${!CHOSEN[@]}"; do
    command=${SCRIPT[${CHOSEN[i]}]}
    say "$command on $SUITE"
    begun=$SECONDS
    verdict=ok
    in_system "./$command" "${ARGUMENTS[@]}" || verdict='not ok' code=$EXIT_NEGATIVE
    printf '%s %d %s on a bare %s, %s\n' "$verdict" $((i + 1)) "$command" "$SUITE" \
      "$(duration $((SECONDS - begun)))"
  done
  exit "$code"
}

main "$@"
