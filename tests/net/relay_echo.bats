#!/usr/bin/env bats
# What hosts behind routers of every class learn of these from one relay, which has its echo by default.

load ../cli/helper

setup() { cd "$BATS_TEST_TMPDIR" || return; }

@test "a relay's echo tells hosts where they are seen, and whom their routers let in" {
  cat >script <<'SCRIPT'
set -euo pipefail
on p1 ptrain-relay serve --state relay --json >events 2>said &
for ((i = 0; i < 1200; i++)); do
  if [[ -s events ]]; then break; fi
  sleep 0.05
done
mapfile -t ports < <(jq 'select(.kind == "listening") | .echo_ports[]' events)
echo "${ports[@]}"
for host in h1 h2 h3 h4 h5 h6 h7; do on $host "$1/tests/net/relay_echo.py" "$(address p1)" "${ports[@]}"; done
kill %1
SCRIPT
  expect 0 "$RECIPES/lab/lab.sh" --hosts 7 --nat h1=open --nat h2=full-cone --nat h3=address-restricted \
    --nat h4=port-restricted --nat h5=symmetric --nat h6=carrier-symmetric --nat h7=no-udp -- bash script "$ROOT"
  diff - <(echo "$output") <<'LEARNT' || { show_output; cat said; return 1; }
7102 7103
tcp 11.0.0.101 same-port udp 11.0.0.101 same-port lets-in-other-ports
tcp 11.0.0.102 same-port udp 11.0.0.102 same-port lets-in-other-ports
tcp 11.0.0.103 same-port udp 11.0.0.103 same-port lets-in-other-ports
tcp 11.0.0.104 same-port udp 11.0.0.104 same-port lets-in-no-other-port
tcp 11.0.0.105 other-port udp 11.0.0.105 other-port lets-in-no-other-port
tcp 11.0.0.106 other-port udp 11.0.0.106 other-port lets-in-no-other-port
tcp 11.0.0.107 same-port udp blocked
LEARNT
}
