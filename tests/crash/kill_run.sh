#!/usr/bin/env bash
# Kills a run that saves every step, again and again, and looks whether what it said is saved
# is there.
# shellcheck source=../../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../recipes/lib.sh"
# shellcheck source=../cli/tiny_job.bash
. "$ROOT/tests/cli/tiny_job.bash"

readonly STARTING_MS=600 SAVING_MS=150  # a kill comes within so long of the start, or of a save
readonly SAVE_WITHIN_S=120              # on the slowest machine
readonly MORE_STEPS=3                   # of the last, undisturbed run

usage() {
  cat <<'TEXT'
usage: kill_run.sh [--stages N] [--kills N] [--seed N]

Trains a tiny job that saves every step, and kills all of its stages with SIGKILL at random
moments: every other time while they start, else while they save. After each kill

  - every checkpoint that the metrics called durable verifies to its last byte, under its id;
  - no step that has a manifest is anything but whole;
  - the next run continues from the newest one, or from a newer step of which every stage had saved
    its share, and only the manifest was missing.

At the end the run is left alone for some steps, and ends with the weights of one that nobody
disturbed. Ends with 1 and the reason when one of this is not so.

  --stages N  processes that share the folder of checkpoints, default 1
  --kills N   default 20
  --seed N    of the moments, default 1

Example:
  tests/crash/kill_run.sh --stages 2 --kills 100 --seed 7
TEXT
}

STAGES=1 KILLS=20 SEED=1

parse_options() {
  while (($#)); do
    case $1 in
      --stages) need_value "$@"; need_count "$1" "$2" 1 4; STAGES=$2; shift ;;
      --kills) need_value "$@"; need_count "$1" "$2" 1 100000; KILLS=$2; shift ;;
      --seed) need_value "$@"; need_count "$1" "$2" 0 32767; SEED=$2; shift ;;
      -h | --help) usage; exit 0 ;;
      *) die_usage "unknown argument: $1" ;;
    esac
    shift
  done
}

# fail WHAT: with what there is to look at
fail() {
  error "$1"
  tail -n 5 said-* >&2 || true
  ptrain-ckpt ls --dir ckpt >&2 || true
  exit "$EXIT_NEGATIVE"
}

# --- the run ---

PIDS=()

start_run() {  # start_run STEPS [OPTION]...: its metrics say what this run did, and no earlier one
  local i steps=$1
  shift
  rm -f metrics-*
  for ((i = 0; i < STAGES; i++)); do
    ptrain-stage run --job job.toml --endpoints endpoints --stage "$i" --threads 1 \
      --set optim.schedule=constant --set "train.steps=$steps" --set eval.sequences=1 \
      --metrics "metrics-$i" "$@" >"out-$i" 2>"said-$i" &
    PIDS[i]=$!
  done
}

runs() {  # every stage of it
  local pid
  for pid in "${PIDS[@]}"; do kill -0 "$pid" 2>/dev/null || return 1; done
}

kill_run() {
  runs || fail "a stage ended by itself"
  kill -KILL "${PIDS[@]}"
  wait "${PIDS[@]}" 2>/dev/null || true
}

await_save() {
  local deadline=$((SECONDS + SAVE_WITHIN_S))
  until grep -qs '"kind":"checkpoint"' metrics-0; do
    ((SECONDS < deadline)) || fail "nothing was saved in $SAVE_WITHIN_S s"
    runs || fail "a stage ended by itself"
    sleep 0.01
  done
}

sleep_up_to_ms() { sleep "$(printf '%d.%03d' $((RANDOM % $1 / 1000)) $((RANDOM % $1 % 1000)))"; }

# --- what must hold ---

SAVED=0   # checkpoints that were called durable, in all
NEWEST=0  # the newest of them

# The last line of a killed process may be cut off.
promised() {
  jq -Rr 'fromjson? | select(.kind == "checkpoint") | "\(.step) \(.id)"' metrics-* 2>/dev/null || true
}

# A folder may be there and hold no step yet: then ptrain-ckpt has nothing to look at.
any_step() { compgen -G 'ckpt/step-*' >/dev/null; }

check_folder() {
  local step id count=0
  if ! any_step; then
    [[ $NEWEST == 0 && -z $(promised) ]] || fail "steps were called durable, and none is there"
    return 0
  fi
  # 1: there is an unfinished step, as a kill leaves it.
  ptrain-ckpt verify --dir ckpt --all --data --json >verdicts 2>said-verify ||
    (($? == EXIT_NEGATIVE)) || fail "verify: $(cat verdicts said-verify)"
  ptrain-ckpt ls --dir ckpt --json >listed
  while read -r step id; do
    jq -es --argjson step "$step" --arg id "$id" \
      'any(.[]; .step == $step and .state == "complete" and .id == $id)' verdicts >/dev/null ||
      fail "step $step was called durable, and is not there whole as $id: $(cat verdicts)"
    count=$((count + 1))
    if ((step > NEWEST)); then NEWEST=$step; fi
  done < <(promised | sort -u)
  SAVED=$((SAVED + count))
  jq -es --slurpfile listed listed '
    map({key: "\(.step)", value: .state}) | from_entries as $verified
    | $listed | all(.state != "complete" or $verified["\(.step)"] == "complete")' verdicts >/dev/null ||
    fail "a step is listed as complete, and is not whole"
  (($(newest) >= NEWEST)) || fail "step $NEWEST was saved, and the newest is $(newest)"
}

newest() { ptrain-ckpt ls --dir ckpt --json | jq -s 'map(select(.state == "complete").step) | max // 0'; }

# Whatever this run did, it did after the newest checkpoint that it found: where all shares of a later
# step are there it makes the manifest itself.
check_continued() {
  local first
  first=$(jq -Rrn '[inputs | fromjson? | select(.kind == "step").step][0] // empty' metrics-0 2>/dev/null || true)
  [[ -z $first ]] || ((first == $1 + 1)) || begun_after_unsealed "$1" "$first" || fail "the newest was step $1, and the run began with $first"
}

begun_after_unsealed() { (($2 > $1 + 1)) && grep -qs "from step $(($2 - 1)) of .*every stage had saved" said-0; }

# The folder stays small. As gc never takes the newest one, nothing is lost by it.
tidy() {
  ! any_step || ptrain-ckpt gc --dir ckpt --keep-last 2 --yes >/dev/null 2>said-gc ||
    (($? == EXIT_CORRUPT && NEWEST == 0)) || fail "gc: $(cat said-gc)"  # nothing is whole so far
}

weights_of_rest() {  # weights_of_rest STEPS: of the run, left alone until there
  start_run "$1" --json
  wait "${PIDS[@]}" || fail "the last run failed"
  tail -n 1 out-0 | jq -r .weights_sha256  # before it, where the stage listens
}

main() {
  parse_options "$@"
  need_tool jq jq
  local stage i before steps weights
  stage=$(find_program ptrain-stage)
  PATH=$(dirname "$stage"):$PATH
  make_temp_folder
  cd "$TEMP_FOLDER"
  # shellcheck disable=SC2016  # which processes, is known at the end
  on_exit 'kill -KILL "${PIDS[@]}" 2>/dev/null || true'
  tiny_data .
  endpoints "$STAGES"
  RANDOM=$SEED
  for ((i = 1; i <= KILLS; i++)); do
    before=0
    if any_step; then before=$(newest); fi
    start_run 1000000 --set checkpoint.every=1
    if ((i % 2)); then
      sleep_up_to_ms "$STARTING_MS"
    else
      await_save
      sleep_up_to_ms "$SAVING_MS"
    fi
    kill_run
    check_folder
    check_continued "$before"
    tidy
  done
  steps=$((NEWEST + MORE_STEPS))
  weights=$(weights_of_rest "$steps")
  mv ckpt disturbed
  [[ $(weights_of_rest "$steps") == "$weights" ]] || fail "after $steps steps the weights are others"
  printf '%d stages, seed %d: %d kills, %d checkpoints called durable, all whole; %d steps\n' \
    "$STAGES" "$SEED" "$KILLS" "$SAVED" "$steps"
}

main "$@"
