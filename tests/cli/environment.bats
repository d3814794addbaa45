#!/usr/bin/env bats
# Every recipe in the environment of a person who has set everything that can be set: it does the
# same as in a plain one. The programs are stand-ins, so that this takes seconds.
# shellcheck disable=SC2154,SC2317  # bats sets status, output and stderr; cases are called by name

load helper

setup() {
  WORK="$BATS_TEST_TMPDIR/it's a [1] #\"folder\""
  mkdir -p "$WORK/bin" "$BATS_TEST_TMPDIR/elsewhere/recipes/lab" "$BATS_TEST_TMPDIR/tmp #1"
  # Where CDPATH would lead: folders of the names that recipes change to.
  mkdir -p "$BATS_TEST_TMPDIR/elsewhere/out" "$BATS_TEST_TMPDIR/elsewhere/bin"
  cd "$WORK" || return
  stand_ins
  export PTRAIN_BIN=$WORK/bin
}

stand_ins() {
  cat >bin/ptrain-stage <<'STAGE'
#!/usr/bin/env bash
case $1 in
  run)
    while (($#)); do
      case $1 in
        --metrics) metrics=$2 ;;
        --endpoints) endpoints=$2 ;;
        data.train=*) data=$1 ;;
      esac
      shift
    done
    printf '%s\n' "${data-}" >"${metrics%/*}/data.train"
    grep -c '^ipc://[^#]*$' "${endpoints:-/dev/null}" >"${metrics%/*}/endpoints"
    printf '{"kind":"step","step":%d,"loss":%d.5}\n' 1 3 2 2 3 1 >"$metrics"
    echo ready
    echo '{"kind":"done","steps":3,"weights_sha256":"abc"}'
    ;;
  eval) echo '{"loss":1.5}' ;;
  sample) echo 'The Rabbit slept.' ;;
esac
STAGE
  cat >bin/ptrain-data <<'DATA'
#!/usr/bin/env bash
while (($#)); do
  if [[ $1 == --out ]]; then out=$2; fi
  shift
done
mkdir -p "$out"
touch "$out/train_000000.bin" "$out/val_000000.bin"
echo "$out"
DATA
  chmod +x bin/*
  ln -s "$(command -v ptrain-relay)" bin/ptrain-relay
  echo >job.toml
}

# hostile COMMAND...: no variable here is unheard of; each has broken some script.
hostile() {
  printf '%s\n' 'set -o noclobber' 'shopt -s nullglob expand_aliases' "alias cat='echo alias'" >bash_env
  (
    cd() { builtin cd "$@" && echo "now in $PWD"; }
    rm() { echo "rm: not today"; }
    mkdir() { echo "mkdir: not today"; }
    export -f cd rm mkdir
    export CDPATH=$BATS_TEST_TMPDIR/elsewhere:/ TMPDIR="$BATS_TEST_TMPDIR/tmp #1" LC_ALL=xx_YY.UTF-8 \
      GREP_OPTIONS='-n --color=always' GREP_COLORS='mt=01;31' IFS=: POSIXLY_CORRECT=1 \
      GLOBIGNORE='*' EXECIGNORE='/usr/bin/*' BASH_COMPAT=3.1 BASH_ENV=$PWD/bash_env ENV=$PWD/bash_env \
      LANGUAGE=tr LC_NUMERIC=de_DE.UTF-8 COLUMNS=1 PS4='$(touch traced)'
    umask 077
    exec env SHELLOPTS=noclobber:noglob BASHOPTS=nocasematch:xpg_echo:dotglob "$@" 2> >(grep -v setlocale >&2)
  )
}

plain() { "$@"; }

# Each case runs a recipe in the environment $1 and prints what came of it.

case_install_deps() {
  "$1" "$RECIPES/install-deps.sh" --check test
  echo "code $?"
}

case_pipeline() {
  "$1" "$RECIPES/pipeline.sh" --job job.toml --stages 2 --out out --json
  echo "code $?"
  cat out/result.json out/endpoints
  ls out
  "$1" "$RECIPES/pipeline.sh" --job job.toml --stages 2 --out out --json  # continues it
}

case_data_parallel() {
  "$1" "$RECIPES/data-parallel.sh" --job job.toml --lanes 2 --out out --json
  echo "code $?"
  ls out
}

case_grid() {
  "$1" "$RECIPES/grid.sh" --job job.toml --stages 1 --lanes 2 --out out --json
  echo "code $?"
  ls out
}

# What these three do with hosts and routers is shown in tests/net.
case_ssh() {
  "$1" "$RECIPES/ssh.sh" --help
  echo "code $?"
}

case_nat_pipeline() {
  "$1" "$RECIPES/nat-pipeline.sh" --help
  echo "code $?"
}

case_probe_then_train() {
  "$1" "$RECIPES/probe-then-train.sh" --help
  echo "code $?"
}

case_worker() {
  echo 'some words' >text
  "$1" "$RECIPES/worker.sh" --most-pause 1 -- ptrain-data encode --out shards text
  echo "code $?"
  "$1" "$RECIPES/worker.sh" --unit some -- "$PTRAIN_BIN/ptrain-data" encode --out 'a b' "it's"
}

case_plot() {
  printf '{"kind":"step","step":%d,"loss":%d.5}\n' 1 3 2 2 3 1 >m.jsonl
  "$1" "$RECIPES/plot.sh" m.jsonl -o loss.png
  echo "code $?"
  head -c 4 loss.png | od -An -tx1
}

# A copy that is installed comes with its programs: nothing is built.
case_quickstart() {
  cp -r "$RECIPES" copy
  "$1" copy/quickstart.sh --out out 2>/dev/null | sed '/^time /d'
  echo "code ${PIPESTATUS[0]}"
  cat out/data.train
  ls out
}

# A small project stands in for the sources, where the path has no # in it: CMake wants none.
case_build() {
  local tree="$BATS_TEST_TMPDIR/the tree"
  rm -rf "$tree"
  mkdir "$tree"
  cp -r "$RECIPES" "$tree/recipes"
  cat >"$tree/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.25)
project(stand_in NONE)
add_custom_target(programs ALL COMMAND ${CMAKE_COMMAND} -E make_directory bin
                  COMMAND ${CMAKE_COMMAND} -E touch bin/ptrain-stage)
CMAKE
  cat >"$tree/CMakePresets.json" <<'JSON'
{"version": 6, "configurePresets": [
  {"name": "release", "generator": "Ninja", "binaryDir": "${sourceDir}/build/release"}]}
JSON
  "$1" "$tree/recipes/build.sh"
  echo "code $?"
  ls "$tree/build/release/bin"
}

case_lab() {
  "$1" "$RECIPES/lab/lab.sh" --hosts 1 --public 1 -- address h1
  echo "code $?"
}

case_relay_pipeline() {
  "$1" "$RECIPES/relay-pipeline.sh" --job job.toml --stages 1 --out out --relays 2 --apart --json
  echo "code $?"
}

# same_as_plain RECIPE: what comes of it is the same, and is what it should be
same_as_plain() {
  local kind
  for kind in plain hostile; do
    mkdir "$kind"
    (cd "$kind" && ln -s ../bin ../job.toml . && set +e && "case_$1" "$kind") >"came-of-$kind" 2>"said-$kind"
    [ ! -e "$kind/traced" ]
  done
  local came
  came=$(<came-of-hostile)
  printf '%s\n' "${came//"$PWD/hostile"/"$PWD/plain"}" >came-of-hostile
  diff came-of-plain came-of-hostile || { cat said-plain said-hostile; return 1; }
  grep -qx 'code [01]' came-of-plain || { cat came-of-plain said-plain; return 1; }
  [ -z "$(ls -A "$BATS_TEST_TMPDIR/tmp #1")" ]
}

@test "install-deps.sh" { same_as_plain install_deps; }

@test "pipeline.sh" {
  same_as_plain pipeline
  grep -qx 2 came-of-plain  # lines of endpoints, each a socket
}

@test "data-parallel.sh and grid.sh" {
  same_as_plain data_parallel
  grep -q lane-1 came-of-plain
  rm -rf plain hostile
  same_as_plain grid
  grep -q lane-1 came-of-plain
}

@test "ssh.sh" { same_as_plain ssh; }

@test "nat-pipeline.sh" { same_as_plain nat_pipeline; }

@test "probe-then-train.sh" { same_as_plain probe_then_train; }

@test "worker.sh" { same_as_plain worker; }

@test "plot.sh" { same_as_plain plot; }

@test "quickstart.sh" {
  same_as_plain quickstart
  grep -q 'The Rabbit slept' came-of-plain
}

@test "build.sh" {
  same_as_plain build
  grep -qx ptrain-stage came-of-plain
}

@test "lab.sh" { same_as_plain lab; }

@test "relay-pipeline.sh" {
  same_as_plain relay_pipeline
  grep -q weights_sha256 came-of-plain
}

@test "every recipe is among these" {
  local recipe name
  for recipe in "$RECIPES"/*.sh "$RECIPES"/lab/*.sh; do
    name=$(basename "$recipe" .sh)
    if [[ $name == lib ]]; then continue; fi
    declare -F "case_${name//-/_}" >/dev/null || { echo "no case of $recipe"; return 1; }
  done
}
