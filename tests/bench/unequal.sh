#!/usr/bin/env bash
# What lanes make of machines of unequal speed: four processes at CPU quotas, and lanes dealt to suit.
# shellcheck source=../../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../recipes/lib.sh"

readonly QUOTAS=(40 40 40 10)  # percent of a core
readonly DEALT=(4 4 4 1)       # lanes
readonly LANES=13
readonly WARM_UP_STEPS=1  # not counted
readonly PERIOD_US=100000

usage() {
  cat <<'TEXT'
usage: unequal.sh [--steps N] [--each N] [--hidden N] [--out FILE]

Four ptrain-stage processes, in control groups that give them 40, 40, 40 and 10 % of a core, hold
4, 4, 4 and 1 of the 13 lanes of one job in sync. Their speed together is compared with the sum of
their own: what each trains alone, under its quota, on its share of the batch. Prints both, and
their ratio.

Needs root and control groups (version 2 or 1) that take a quota; elsewhere it says so and ends
with 0. Run it on a quiet machine of two cores or more.

  --steps N   measured steps of each run, default 5
  --each N    microbatches of a lane in a step, default 2
  --hidden N  width of the model, default 128
  --out FILE  the numbers as JSON
TEXT
}

STEPS=5 EACH=2 HIDDEN=128 OUT=''

parse_options() {
  while (($#)); do
    case $1 in
      --steps) need_value "$@"; need_count "$1" "$2" 1 1000; STEPS=$2; shift ;;
      --each) need_value "$@"; need_count "$1" "$2" 1 100; EACH=$2; shift ;;
      --hidden) need_value "$@"; need_count "$1" "$2" 16 4096; HIDDEN=$2; shift ;;
      --out) need_value "$@"; OUT=$2; shift ;;
      -h | --help) usage; exit 0 ;;
      *) die_usage "unknown argument: $1" ;;
    esac
    shift
  done
}

# --- control groups ---

GROUPS_AT=''  # the folder that ours are in

# find_groups: sets GROUPS_AT, or fails
find_groups() {
  local point version
  while read -r version point; do
    GROUPS_AT=$point/ptrain-unequal-$$
    if [[ $version == cgroup2 ]]; then
      grep -qw cpu "$point/cgroup.controllers" 2>/dev/null || continue
      { echo +cpu >"$point/cgroup.subtree_control" && mkdir "$GROUPS_AT" &&
        echo +cpu >"$GROUPS_AT/cgroup.subtree_control"; } 2>/dev/null || continue
    else
      mkdir "$GROUPS_AT" 2>/dev/null || continue
    fi
    # What else runs here must not take from what the quotas leave.
    { echo 10000 >"$GROUPS_AT/cpu.weight" || echo 262144 >"$GROUPS_AT/cpu.shares"; } 2>/dev/null || true
    on_exit "find $(printf %q "$GROUPS_AT") -depth -type d -exec rmdir {} + 2>/dev/null || true"
    return 0
  done < <(awk '$3 == "cgroup2" || ($3 == "cgroup" && $4 ~ /(^|,)cpu(,|$)/) { print $3, $2 }' /proc/mounts)
  return 1
}

make_group() {  # make_group NAME PERCENT
  local folder=$GROUPS_AT/$1 quota=$(($2 * PERIOD_US / 100))
  mkdir "$folder"
  if [[ -f $folder/cpu.max ]]; then
    echo "$quota $PERIOD_US" >"$folder/cpu.max"
  else
    echo "$PERIOD_US" >"$folder/cpu.cfs_period_us"
    echo "$quota" >"$folder/cpu.cfs_quota_us"
  fi
}

# under NUMBER COMMAND...: becomes it, in that group
under() {
  echo "$BASHPID" >"$GROUPS_AT/$1/cgroup.procs"
  exec setpriv --pdeathsig KILL "${@:2}"
}

# --- the runs ---

write_job() {
  "$(find_program ptrain-data)" encode --tokenizer bytes --val-fraction 0.01 --out "$TEMP_FOLDER/data" \
    "$RECIPES"/corpus/*.txt >/dev/null 2>&1
  cat >"$TEMP_FOLDER/job.toml" <<TOML
[model]
vocab_size = 256
hidden_size = $HIDDEN
intermediate_size = $((HIDDEN * 8 / 3))
num_hidden_layers = 4
num_attention_heads = 4

[data]
train = "$TEMP_FOLDER/data/train_*.bin"
seq_len = 256

[batch]
global = 1
micro = 1

[train]
steps = $((STEPS + WARM_UP_STEPS))
seed = 1

[optim]
warmup_steps = 1

[checkpoint]
every = 1000000
TOML
}

# worker NUMBER LANES NAME [OPTION]...: in the background, as $!
worker() {
  local number=$1 lanes=$2 name=$3
  shift 3
  under "$number" "$STAGE" run --job "$TEMP_FOLDER/job.toml" --threads 1 --resume none --quiet --peer-timeout 600 \
    --set "lanes.count=$lanes" --set "batch.global=$((lanes * EACH))" \
    --set "checkpoint.dir=$TEMP_FOLDER/$name.ckpt" --metrics "$TEMP_FOLDER/$name.jsonl" "$@" \
    >/dev/null 2>"$TEMP_FOLDER/$name.said" &
}

# finished NAME PID: it has ended well
finished() {
  await_process "$2" || die "$EXIT_NEGATIVE" "$1 did not train: $(tail -n 3 "$TEMP_FOLDER/$1.said")"
}

# speed NAME: tokens per second over the measured steps
speed() {
  jq -s "map(select(.kind == \"step\")) | .[$WARM_UP_STEPS:] | (map(.tokens_per_s * .step_s) | add) / (map(.step_s) | add)" \
    "$TEMP_FOLDER/$1.jsonl"
}

# waited NAME: which part of its steps it waited for others' share of the sum
waited() {
  jq -s "map(select(.kind == \"step\")) | .[$WARM_UP_STEPS:] | (map(.wait_lanes_s) | add) / (map(.step_s) | add)" \
    "$TEMP_FOLDER/$1.jsonl"
}

main() {
  parse_options "$@"
  need_tool jq jq
  STAGE=$(find_program ptrain-stage)
  if ! find_groups; then
    say "no control groups here that take a quota of processor time (root?): not measured"
    exit 0
  fi
  make_temp_folder
  write_job

  local i j first=0
  local -a pids=() own=() waits=()
  for i in "${!QUOTAS[@]}"; do make_group "$i" "${QUOTAS[i]}"; done
  for i in "${!QUOTAS[@]}"; do
    worker "$i" "${DEALT[i]}" "own-$i"
    finished "own-$i" $!
    own+=("$(speed "own-$i")")
    say "$(printf 'alone, at %d %% of a core: %.0f tokens/s' "${QUOTAS[i]}" "${own[i]}")"
  done

  for i in "${!DEALT[@]}"; do
    for ((j = 0; j < DEALT[i]; j++)); do printf '0,%d ' $((first + j)); done
    printf 'ipc://%s/%d\n' "$TEMP_FOLDER" "$i"
    first=$((first + DEALT[i]))
  done >"$TEMP_FOLDER/endpoints"
  first=0
  for i in "${!DEALT[@]}"; do
    worker "$i" "$LANES" "together-$i" --endpoints "$TEMP_FOLDER/endpoints" --cell "0,$first"
    pids+=($!)
    first=$((first + DEALT[i]))
  done
  for i in "${!pids[@]}"; do finished "together-$i" "${pids[i]}"; done
  for i in "${!pids[@]}"; do waits+=("$(waited "together-$i")"); done
  printf '%s\n' "${own[@]}" | jq -s --argjson together "$(speed together-0)" --argjson steps "$STEPS" \
    --argjson waited "$(printf '%s\n' "${waits[@]}" | jq -s .)" \
    '{own_tokens_per_s: ., sum_tokens_per_s: add, together_tokens_per_s: $together, ratio: ($together / add),
      waited_for_lanes: $waited, steps: $steps}' | tee ${OUT:+"$OUT"}
}

main "$@"
