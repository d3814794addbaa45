#!/usr/bin/env bash
# home_network.bash COMMAND [ARG]...: runs it on a host whose default route leads to a router that is
# fake_gateway.py with the options in $GATEWAY_OPTIONS; "none" is a router that maps nothing, and
# "unrouted" a host without one. All is in namespaces of its own: what is left in the background ends
# with COMMAND.
set -euo pipefail

if [[ ${1-} != --inside ]]; then
  namespaces=(--net --pid --fork --kill-child --mount-proc)
  if ((EUID != 0)); then namespaces+=(--map-root-user); fi
  exec unshare "${namespaces[@]}" "${BASH_SOURCE[0]}" --inside "$@"
fi
shift

# shellcheck source=home_router.bash
. "${BASH_SOURCE[0]%/*}/home_router.bash"
case $GATEWAY_OPTIONS in
  unrouted) home_network unrouted ;;
  none) home_network routed ;;
  *--v6*)
    home_network v6
    # shellcheck disable=SC2086  # several words
    home_router $GATEWAY_OPTIONS
    ;;
  *)
    home_network routed
    # shellcheck disable=SC2086  # several words
    home_router $GATEWAY_OPTIONS
    ;;
esac
"$@"
