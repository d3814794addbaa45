#!/usr/bin/env bash
# A fetch over links of a given rate, whose connections are cut while it runs. Inside the
# laboratory (recipes/lab/lab.sh), where p1 fetches from p2 and the hosts after it.
# shellcheck source=../../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../recipes/lib.sh"

readonly FETCHER=p1
readonly PORT=7100

usage() {
  cat <<'TEXT'
usage: fetch_scenario.sh --source DIR --out DIR [--holders N] [--rate RATE] [--cut-every S] [--seed N]

Serves DIR from hosts p2, p3, ... and fetches its latest checkpoint to p1. Prints a JSON
object: seconds, size_bytes, fetched_bytes, connections cut, and the bytes that each holder gave.

  --source DIR    checkpoints to serve
  --out DIR       where to fetch to
  --holders N     holders of it, default 1
  --rate RATE     of what each holder sends, as tc(8) writes it: 200mbit
  --cut-every S   cut all connections after so many seconds on average, at random
  --seed N        of these times, default 1

Example:
  ./recipes/lab/lab.sh --hosts 0 --public 2 -- tests/net/fetch_scenario.sh --source ckpt --out copy
TEXT
}

SOURCE='' OUT='' HOLDERS=1 RATE='' CUT_EVERY=0 SEED=1

parse_options() {
  while (($#)); do
    case $1 in
      --source) need_value "$@"; SOURCE=$2; shift ;;
      --out) need_value "$@"; OUT=$2; shift ;;
      --holders) need_value "$@"; need_count "$1" "$2" 1 8; HOLDERS=$2; shift ;;
      --rate) need_value "$@"; RATE=$2; shift ;;
      --cut-every) need_value "$@"; need_count "$1" "$2" 1 3600; CUT_EVERY=$2; shift ;;
      --seed) need_value "$@"; need_count "$1" "$2" 0 1000000; SEED=$2; shift ;;
      -h | --help) usage; exit 0 ;;
      *) die_usage "unknown argument: $1" ;;
    esac
    shift
  done
  [[ $SOURCE && $OUT ]] || die_usage "--source and --out are needed"
}

# hold HOST: a holder there; its endpoint, as the others see it, is added to FROM
hold() {
  local host=$1 listening
  if [[ $RATE ]]; then
    on "$host" tc qdisc replace dev eth0 root tbf rate "$RATE" burst 256kb latency 50ms
  fi
  on "$host" "$CKPT" serve --dir "$SOURCE" --listen "tcp://0.0.0.0:$PORT" \
    --key "$TEMP_FOLDER/$host.key" --anyone >"$TEMP_FOLDER/$host" 2>"$TEMP_FOLDER/$host.err" &
  until [[ -s $TEMP_FOLDER/$host ]]; do
    kill -0 $! 2>/dev/null || die "$EXIT_UNAVAILABLE" "no holder on $host: $(<"$TEMP_FOLDER/$host.err")"
    sleep 0.05
  done
  listening=$(<"$TEMP_FOLDER/$host")
  FROM+=(--from "${listening/0.0.0.0/$(address "$host")}")
}

# Cuts every connection of the fetcher, again and again; a reset reaches both ends. Each time a line
# of how many there were.
cut() {
  local pause
  RANDOM=$SEED
  while true; do
    # Exponentially distributed, so that a cut may follow another at once.
    pause=$(awk -v mean="$CUT_EVERY" -v u=$((RANDOM + 1)) 'BEGIN { print -mean * log(u / 32768.0) }')
    sleep "$pause"
    on "$FETCHER" ss -K -H -n -t state established | wc -l >>"$TEMP_FOLDER/cuts"
  done
}

main() {
  parse_options "$@"
  make_temp_folder
  : >"$TEMP_FOLDER/cuts"
  local FROM=() i begin ended record cuts cutter=''
  CKPT=$(find_program ptrain-ckpt)
  for ((i = 0; i < HOLDERS; i++)); do hold "p$((i + 2))"; done
  if ((CUT_EVERY)); then
    cut &
    cutter=$!
  fi
  begin=$EPOCHREALTIME
  record=$(on "$FETCHER" "$CKPT" fetch "${FROM[@]}" --dir "$OUT" \
    --key "$TEMP_FOLDER/fetcher.key" --json)
  ended=$EPOCHREALTIME
  if [[ $cutter ]]; then
    # It writes into the temporary folder, which is about to go.
    kill "$cutter" 2>/dev/null || true
    wait "$cutter" 2>/dev/null || true
  fi
  cuts=$(awk '{ n += $1 } END { print n + 0 }' "$TEMP_FOLDER/cuts")
  jq -c --arg began "$begin" --arg ended "$ended" --argjson cuts "$cuts" \
    '{seconds: (($ended | tonumber) - ($began | tonumber)), size_bytes, fetched_bytes, cuts: $cuts,
      holders: [.holders[].bytes]}' <<<"$record"
}

main "$@"
