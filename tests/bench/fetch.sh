#!/usr/bin/env bash
# Fetching a checkpoint over slow and cut links, against what the link allows.
# shellcheck source=../../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../recipes/lib.sh"

readonly SCENARIO=$ROOT/tests/net/fetch_scenario.sh

usage() {
  cat <<'TEXT'
usage: fetch.sh [--mebibytes N] [--rounds N] [--dir FOLDER] [--out FILE]

In a laboratory of network namespaces (recipes/lab/lab.sh; needs root), every round fetches the
same checkpoint, with CURVE and every hash checked, to the last fsync:

  whole  from one holder at 200 Mbit/s
  cut    the same, all connections cut every 5 s on average: time over size / rate
  one    from one holder at 100 Mbit/s
  two    from two holders at 100 Mbit/s each: time of `one` over it

Prints a table and, with --out, one JSON object with the medians over the rounds.

  --mebibytes N  size of the checkpoint, default 1024
  --rounds N     default 3
  --dir FOLDER   on the disk to fetch to; a temporary folder unless told
  --out FILE     the numbers as JSON
TEXT
}

MEBIBYTES=1024 ROUNDS=3 FOLDER='' OUT=''

parse_options() {
  while (($#)); do
    case $1 in
      --mebibytes) need_value "$@"; need_count "$1" "$2" 16 65536; MEBIBYTES=$2; shift ;;
      --rounds) need_value "$@"; need_count "$1" "$2" 1 100; ROUNDS=$2; shift ;;
      --dir) need_value "$@"; FOLDER=$2; shift ;;
      --out) need_value "$@"; OUT=$2; shift ;;
      -h | --help) usage; exit 0 ;;
      *) die_usage "unknown argument: $1" ;;
    esac
    shift
  done
}

# measure NAME HOLDERS RATE-IN-MBIT [OPTION]...: a line of JSON with what it took over what the
# holders' links allow
measure() {
  local name=$1 holders=$2 mbit=$3
  shift 3
  rm -rf "$FOLDER/copy"
  "$ROOT/recipes/lab/lab.sh" --hosts 0 --public $((holders + 1)) -- "$SCENARIO" \
    --source "$FOLDER/ckpt" --out "$FOLDER/copy" --holders "$holders" --rate "${mbit}mbit" "$@" |
    jq -c --arg name "$name" --argjson rate $((holders * mbit * 125000)) \
      '{name: $name} + . + {over_floor: (.seconds * $rate / .size_bytes)}' |
    tee -a "$TEMP_FOLDER/measured"
}

summary() {
  jq -s 'def median: sort | .[(length - 1) / 2 | floor];
    def of(name; field): map(select(.name == name) | field) | median;
    {size_bytes: .[0].size_bytes, rounds: (map(select(.name == "one")) | length),
     whole_over_floor: of("whole"; .over_floor), cut_over_floor: of("cut"; .over_floor),
     connections_cut: of("cut"; .cuts),
     two_over_one: (of("one"; .seconds) / of("two"; .seconds))}' "$TEMP_FOLDER/measured"
}

main() {
  parse_options "$@"
  make_temp_folder
  FOLDER=${FOLDER:-$TEMP_FOLDER/fetch}
  mkdir -p "$FOLDER"
  "$ROOT/build/release/tests/bench_ckpt_save" --dir "$FOLDER/ckpt" --mebibytes "$MEBIBYTES" >/dev/null
  local round
  for ((round = 1; round <= ROUNDS; round++)); do
    measure whole 1 200
    measure cut 1 200 --cut-every 5 --seed "$round"
    measure one 1 100
    measure two 2 100
  done
  summary | tee ${OUT:+"$OUT"}
}

main "$@"
