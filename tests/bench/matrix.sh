#!/usr/bin/env bash
# How fast ptrain-probe measures the links between many hosts, and how well.
# shellcheck source=../../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../recipes/lib.sh"
# shellcheck source=bounds.bash
. "$ROOT/tests/bench/bounds.bash"

usage() {
  cat <<'TEXT'
usage: matrix.sh [--hosts N] [--seed N] [--dead HOST] [--out FILE] [--check] [--from FILE]

In a laboratory of network namespaces (recipes/lab/lab.sh; needs root), N hosts with links of 2 to 20
Mbit/s, each way another rate, whose round trip to the public side is 5 to 50 ms, drawn by the seed.
Prints one object:

  seconds    that the matrix took; at most 60 of 16 hosts
  edges      ways that were measured, and how many were to be
  within_10  the part of them within 10 % of what the shaped links carry; at least 0.9
  worst      the farthest, as a ratio
  most_mb    that an edge took; at most 3

  --hosts N    default 16
  --seed N     default 1
  --dead HOST  this one serves no more when it begins: its edges fail, and no other
  --out FILE   the numbers as JSON, with the links
  --check      print each of these bounds instead, and whether it holds (TAP); end with 1 where not
  --from FILE  check those numbers of another time, and measure nothing

Example:
  ./tests/bench/matrix.sh --hosts 4
TEXT
}

HOSTS=16 SEED=1 DEAD=() CHECK=no FROM='' OUT=''

parse_options() {
  while (($#)); do
    case $1 in
      --hosts) need_value "$@"; need_count "$1" "$2" 3 32; HOSTS=$2; shift ;;
      --seed) need_value "$@"; need_count "$1" "$2" 0 99999; SEED=$2; shift ;;
      --dead) need_value "$@"; DEAD=(--dead "$2" --timeout 8); shift ;;
      --check) CHECK=yes ;;
      --from) need_value "$@"; FROM=$2; shift ;;
      --out) need_value "$@"; OUT=$2; shift ;;
      -h | --help) usage; exit 0 ;;
      *) die_usage "unknown argument: $1" ;;
    esac
    shift
  done
}

# A line for each host: up and down in Mbit/s, and one way of the delay in ms.
drawn() {
  awk -v seed="$SEED" -v hosts="$HOSTS" 'BEGIN {
    srand(seed)
    for (i = 1; i <= hosts; i++) printf "%d %d %.1f\n", 2 + rand() * 18.999, 2 + rand() * 18.999, 2.5 + rand() * 22.5
  }'
}

# The bounds of a result, each in words and whether it holds.
# shellcheck disable=SC2016  # jq's own variables
readonly BOUNDS='
  "\(.hosts) hosts\(if .dead then ", \(.dead) dead" else "" end): " as $links |
  (.hosts - (if .dead then 1 else 0 end)) as $alive |
  {what: "\($links)measured in 60 s: \(.seconds | round) s", holds: (.seconds <= 60)},
  {what: "\($links)every way between living hosts: \(.edges) of \(.of)",
   holds: (.edges == $alive * ($alive - 1) and .of == .hosts * (.hosts - 1))},
  {what: "\($links)90 % of them within 10 % of the shaped rate: \(.within_10 * 100 | round) %, the farthest \(.worst)",
   holds: (.within_10 >= 0.9)},
  {what: "\($links)at most 3 MB for each: \(.most_mb)", holds: (.most_mb <= 3)}'

measure() {
  local up down delay i=0 shaped
  local -a links=()
  while read -r up down delay; do
    i=$((i + 1))
    links+=(--link "h$i=up:${up}mbit,down:${down}mbit,delay:$delay")
  done < <(drawn)
  shaped=$(drawn | jq -Rsc 'split("\n") | map(select(. != "") | split(" ") | map(tonumber)) | to_entries
    | map({key: "h\(.key + 1)", value: {up: .value[0], down: .value[1]}}) | from_entries')
  "$ROOT/recipes/lab/lab.sh" --hosts "$HOSTS" --nat open "${links[@]}" -- \
    "$ROOT/tests/net/probe_matrix_scenario.sh" --hosts "$HOSTS" "${DEAD[@]}" >"$TEMP_FOLDER/matrix"
  # Of a frame of 1514 bytes TCP carries 1448.
  jq -c --argjson shaped "$shaped" --argjson hosts "$HOSTS" --arg dead "${DEAD[1]-}" '
    def ratio: .rate_bytes_per_s / ([$shaped[.from].up, $shaped[.to].down] | min * 1e6 / 8 * 1448 / 1514);
    (.links.pairs | map(select(.failed | not) | . + {ratio: ratio})) as $measured |
    {hosts: $hosts, seconds, edges: ($measured | length), of: (.links.pairs | length),
     within_10: (($measured | map(select(.ratio > 0.9 and .ratio < 1.1)) | length) / ($measured | length)),
     worst: ($measured | max_by((.ratio - 1) | fabs) | .ratio),
     most_mb: ($measured | map(.detail.bytes) | max / 1e6),
     failed: ([.links.pairs[] | select(.failed) | .from, .to] | unique)}
    + if $dead == "" then {} else {dead: $dead} end' "$TEMP_FOLDER/matrix" >"$TEMP_FOLDER/result"
  if [[ $OUT ]]; then jq -s '.[0] + {links: .[1].links}' "$TEMP_FOLDER/result" "$TEMP_FOLDER/matrix" >"$OUT"; fi
}

main() {
  parse_options "$@"
  make_temp_folder
  if [[ $FROM ]]; then
    jq -c 'del(.links)' "$FROM" >"$TEMP_FOLDER/result" || die "$EXIT_IO" "--from $FROM cannot be read"
  else
    measure
  fi
  if [[ $CHECK == yes ]]; then judge "$TEMP_FOLDER/result" "$BOUNDS"; else cat "$TEMP_FOLDER/result"; fi
}

main "$@"
