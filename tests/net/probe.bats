#!/usr/bin/env bats
# Links of a given rate and delay, as ptrain-probe measures them: the bounds are loose, since the
# machine is small and busy; tests/bench/probe.sh measures.

load ../cli/helper

setup() { cd "$BATS_TEST_TMPDIR" || return; }

# scenario LAB-OPTION... -- OPTION...: the JSON of tests/net/probe_scenario.sh
scenario() {
  local -a lab=()
  while [[ $1 != -- ]]; do lab+=("$1"); shift; done
  shift
  "$RECIPES/lab/lab.sh" "${lab[@]}" -- "$ROOT/tests/net/probe_scenario.sh" "$@"
}

holds() { jq -e "$1" <<<"$output" >/dev/null || { echo "does not hold: $1"; echo "$output"; return 1; }; }

# 20 Mbit/s are 2.5e6 bytes of frames, of which TCP carries 2.39e6.
@test "a link of 20 Mbit/s and 25 ms each way is found to be one" {
  expect 0 scenario --hosts 1 --rate 20mbit --delay 25 -- --max-time 20
  holds '.probe.route == "direct" and .probe.interface == "eth0" and .probe.tunnel == false'
  holds '.probe.round_trip.median_s | . > 0.049 and . < 0.2'
  holds '[.probe.to_peer, .probe.from_peer] | all(.rate_bytes_per_s > 1.4e6 and .rate_bytes_per_s < 2.6e6)'
  holds '[.probe.to_peer, .probe.from_peer] | all(.loaded_round_trip.median_s > 0.049)'
}

@test "of a link whose ways differ both are found" {
  expect 0 scenario --hosts 1 --delay 10 --link h1=up:4mbit,down:16mbit -- --max-time 20
  holds '.probe.to_peer.rate_bytes_per_s | . > 0.3e6 and . < 0.55e6'
  holds '.probe.from_peer.rate_bytes_per_s | . > 1.1e6 and . < 2.1e6'
}

@test "through a relay the slower of both legs counts" {
  expect 0 scenario --hosts 2 --nat symmetric --rate 20mbit --delay 12 --link h2=up:8mbit,down:8mbit -- --relayed --max-time 20
  holds '.probe.route == "relayed" and (.probe.path | startswith("socks5://"))'
  holds '.probe.round_trip.median_s > 0.047'
  holds '[.probe.to_peer, .probe.from_peer] | all(.rate_bytes_per_s > 0.55e6 and .rate_bytes_per_s < 1.05e6)'
}

@test "what a test may cost holds on a slow link too" {
  expect 0 scenario --hosts 1 --rate 2mbit --delay 5 -- --max-bytes 200kB --max-time 60
  holds '[.probe.to_peer, .probe.from_peer] | all(.bytes <= 200e3 and .bytes > 100e3)'
}
