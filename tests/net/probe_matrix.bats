#!/usr/bin/env bats
# The links between four hosts, as ptrain-probe matrix finds them: the bounds are loose, since the
# machine is small and busy; tests/bench/matrix.sh measures sixteen.

load ../cli/helper

setup() { cd "$BATS_TEST_TMPDIR" || return; }

# scenario LAB-OPTION... -- OPTION...: the JSON of tests/net/probe_matrix_scenario.sh
scenario() {
  local -a lab=()
  while [[ $1 != -- ]]; do lab+=("$1"); shift; done
  shift
  "$RECIPES/lab/lab.sh" --hosts 4 "${lab[@]}" -- "$ROOT/tests/net/probe_matrix_scenario.sh" --hosts 4 "$@"
}

holds() { jq -e "$1" <<<"$output" >/dev/null || { echo "does not hold: $1"; echo "$output"; return 1; }; }

@test "each of twelve ways is found to be what the slower of its hosts allows" {
  expect 0 scenario --nat open --delay 5 --link h1=rate:8mbit --link h2=rate:12mbit --link h3=rate:16mbit \
    --link h4=rate:24mbit -- --max-time 2
  holds '.code == 0 and .links.kind == "links" and .links.version == 1'
  holds '[.links.hosts[].name] == ["h1", "h2", "h3", "h4"]'
  holds '.links.pairs | length == 12 and all(has("failed") | not)'
  # Of 8, 12, 16, 24 Mbit/s TCP carries 0.956.
  # shellcheck disable=SC2016  # jq's own variables
  holds '{h1: 8, h2: 12, h3: 16, h4: 24} as $mbit | .links.pairs | all(
    ([$mbit[.from], $mbit[.to]] | min * 1e6 / 8) as $shaped |
    .rate_bytes_per_s > 0.6 * $shaped and .rate_bytes_per_s < 1.15 * $shaped)'
  holds '.links.pairs | all(.round_trip_s > 0.019 and .round_trip_s < 1 and .detail.route == "direct"
    and .detail.bytes <= 3e6)'
  holds '.links.hosts | all(.out_bytes_per_s > 0 and .in_bytes_per_s > 0)'
  # All at once, each to the next.
  holds '[.links.pairs[] | select(.detail.busy_bytes_per_s > 0) | .from + .to] | length >= 3'
}

@test "a host that is dead costs its own ways only" {
  expect 0 scenario --nat open --rate 8mbit --delay 2 -- --dead h3 --timeout 8 --max-time 1
  holds '.code == 0'
  holds '[.links.hosts[] | select(.failed) | .name] == ["h3"]'
  holds '.links.pairs | length == 12'
  holds '.links.pairs | all((.from == "h3" or .to == "h3") == has("failed"))'
  holds '[.links.pairs[] | select(.failed) | .failed | contains("h3")] | all'
}

@test "hosts that nobody can dial are measured through the relay" {
  expect 0 scenario --nat symmetric --rate 8mbit --delay 2 -- --relayed --max-time 1 --max-bytes 500kB
  holds '.links.pairs | length == 12 and all(.detail.route == "relayed" and .detail.bytes <= 5e5)'
}
