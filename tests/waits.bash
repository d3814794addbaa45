# What scripts of tests wait for, on hosts of the laboratory and on this one. To be sourced.
# shellcheck shell=bash

# within COMMAND...: it comes true, or the script fails
within() {
  local i
  for ((i = 0; i < 900; i++)); do
    if "$@" >/dev/null 2>&1; then return; fi
    sleep 0.1
  done
  echo "never came true: $*" >&2
  return 1
}

# ended PID CODE
ended() {
  local code=0
  wait "$1" || code=$?
  ((code == $2)) || { echo "ended with $code, not with $2" >&2; return 1; }
}
