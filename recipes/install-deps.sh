#!/usr/bin/env bash
# Installs the Debian packages that ptrain needs: the one list of them, and why each is there.
set -euo pipefail

NAME=install-deps.sh
QUIET=no

usage() {
  cat <<'TEXT'
usage: install-deps.sh [--check|--list] [--quiet] [run|test]

Installs what is missing of the packages that ptrain needs on Debian 12 or 13. As root,
or with sudo, which is used only when something is missing.

  run      to build the programs and run the recipes (the default)
  test     the above, and what tests/run.sh needs
  --check  install nothing; print what is missing, one a line, and exit 1 if anything is
  --list   install nothing; print what is needed, one a line, on any system
  --quiet  say nothing but errors; sudo may ask for a password all the same

Example:
  ./recipes/install-deps.sh --check test
TEXT
}

# SET PACKAGE, then what it is for. `test` needs `run` as well.
packages() {
  cat <<'TABLE'
run  g++                 compiler (12 or later)
run  cmake               build (3.25 or later)
run  ninja-build         build
run  ccache              build: nothing is compiled twice
run  mold                build: links in a second
run  pkg-config          build: finds the libraries
run  capnproto           build: compiles schemas/*.capnp
run  libcapnp-dev        the headers of messages
run  libzmq3-dev         sockets, with CURVE
run  cppzmq-dev          libzmq from C++
run  libtorch-dev        tensors and gradients, in ptrain-stage only
run  libopenblas0-openmp fast float32 products that share libtorch's threads
run  libdnnl-dev         fast products in float32 and bfloat16
run  libssl-dev          SHA-256
run  libxxhash-dev       checksums of messages
run  libsentencepiece-dev tokenizers
run  nlohmann-json3-dev  JSON
run  libtomlplusplus-dev job files
run  libcli11-dev        command lines
run  libfmt-dev          text
run  libminiupnpc-dev    port mappings by UPnP, in ptrain-punch only
run  jq                  recipes read metrics
run  gnuplot-nox         recipes/plot.sh
run  fonts-dejavu-core   the letters in its pictures
test git                 the checkout, and the list of files to check
test libgtest-dev        unit tests
test libgmock-dev        unit tests
test bats                command-line tests
test zsh                 what it completes
test fish                what it completes
test socat               a peer that speaks garbage
test systemd             systemd-analyze checks the unit of ptrain-relay
test iproute2            recipes/lab: network namespaces
test nftables            recipes/lab: home routers
test conntrack           recipes/lab: routers that forget
test miniupnpd-nftables  recipes/lab: routers that map ports for who asks
test procps              recipes/lab
test openssh-server      hosts for recipes/ssh.sh
test openssh-client      recipes/ssh.sh
test slurm-wlm           a cluster for recipes/slurm
test munge               what Slurm knows its own by
test miniupnpd           a router that maps ports
test iputils-ping        how long the links of recipes/lab are
test qemu-user           tests/processors.sh: processors that this machine is not
test python3             attacks over raw sockets
test python3-torch       an independent model to compare with
test clang               sanitizers and fuzzers
test libclang-rt-dev     sanitizers and fuzzers
test clang-format        style
test clang-tidy          style
test shellcheck          style of the scripts
test scdoc               manual pages
test man-db              manual pages
TABLE
}

say() {  # say WORDS
  if [[ $QUIET == no ]]; then printf '%s: %s\n' "$NAME" "$1" >&2; fi
}

die() {  # die CODE WHAT [HINT]
  printf '%s: error: %s\n' "$NAME" "$2" >&2
  if [[ -n ${3-} ]]; then printf '%s: hint: %s\n' "$NAME" "$3" >&2; fi
  exit "$1"
}

wanted() {  # wanted SET: its packages, one a line
  packages | awk -v set="$1" '$1 == "run" || set == "test" { print $2 }'
}

missing() {  # missing SET: the packages of it that are not installed, one a line
  local package status
  while read -r package; do
    # shellcheck disable=SC2016  # dpkg-query expands it
    status=$(dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null || true)
    [[ $status == ?i* ]] || printf '%s\n' "$package"
  done < <(wanted "$1")
}

# as_root COMMAND...: directly, or through sudo, which may ask for a password.
as_root() {
  if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

# Another apt may be at work, a mirror may stumble: wait for the one, retry the other.
apt() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -o DPkg::Lock::Timeout=600 \
    -o Acquire::Retries=3 "$@"
}

# apt-get update takes no lock timeout, so a list that another apt holds is tried again.
update_lists() {
  local attempt
  for attempt in {1..60}; do
    if apt -q update >"$LOG" 2>&1; then return 0; fi
    grep -q 'Could not get lock' "$LOG" || return 1
    ((attempt > 1)) || say 'waiting for another apt to end'
    sleep 5
  done
  return 1
}

# known PACKAGE...: apt has heard of every one.
known() {
  local package
  for package in "$@"; do
    apt-cache show --quiet=0 "$package" >/dev/null 2>&1 || return 1
  done
}

install_packages() {
  if ! known "$@"; then update_lists || fail_apt "apt-get update"; fi
  if apt -q install --no-install-recommends "$@" >"$LOG" 2>&1; then return 0; fi
  # A list that is too old names versions that the mirror no longer has.
  update_lists || fail_apt "apt-get update"
  apt -q install --no-install-recommends "$@" >"$LOG" 2>&1 || fail_apt "apt-get install"
}

fail_apt() {
  tail -n 15 "$LOG" >&2
  die 69 "$1 failed (its last lines are above)" \
    "Debian 12 and 13 have them all in main, Ubuntu in universe from 25.04 on: check apt's sources and the network"
}

main() {
  local set=run check=no list=no
  while (($#)); do
    case $1 in
      run | test) set=$1 ;;
      --check) check=yes ;;
      --list) list=yes ;;
      -q | --quiet) QUIET=yes ;;
      -h | --help) usage; exit 0 ;;
      *) die 2 "unknown argument: $1" "$NAME --help lists the arguments" ;;
    esac
    shift
  done
  if [[ $list == yes ]]; then
    wanted "$set"
    exit 0
  fi
  command -v dpkg-query >/dev/null ||
    die 69 "this is not a Debian system: no dpkg-query" \
      "install the libraries named in libcommon/cmake/dependencies.cmake, then build with cmake"

  local -a absent
  mapfile -t absent < <(missing "$set")
  if ((${#absent[@]} == 0)); then exit 0; fi
  if [[ $check == yes ]]; then
    printf '%s\n' "${absent[@]}"
    exit 1
  fi
  say "installing ${#absent[@]} packages: ${absent[*]}"
  if ((EUID != 0)); then
    command -v sudo >/dev/null ||
      die 77 "installing packages needs root, and there is no sudo" \
        "as root: $0 $set"
    say 'asking sudo for apt-get'
  fi
  LOG=$(mktemp)
  trap 'rm -f "$LOG"' EXIT
  install_packages "${absent[@]}"
}

main "$@"
