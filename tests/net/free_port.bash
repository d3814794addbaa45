# Ports that nothing listens on. Loaded by tests that run servers.
# shellcheck shell=bash

# free_port: one that nothing listens on; ten more above it are free too
free_port() {
  local port i
  while true; do
    port=$((20000 + RANDOM % 10000))
    for ((i = 0; i < 10; i++)); do
      if [[ -n $(ss -Hltn "sport = :$((port + i))") ]]; then continue 2; fi
    done
    printf '%d\n' "$port"
    return
  done
}
