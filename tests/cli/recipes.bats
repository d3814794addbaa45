#!/usr/bin/env bats
# What every recipe promises, and recipes/lib.sh and install-deps.sh by themselves.

load helper

setup() { cd "$BATS_TEST_TMPDIR" || return; }

# recipe TEXT: runs a script that sources lib.sh and then does TEXT
recipe() {
  printf '%s\n' '#!/usr/bin/env bash' ". '$RECIPES/lib.sh'" "$1" >some-recipe
  bash some-recipe
}

@test "every recipe explains itself with an example" {
  local script
  for script in "$RECIPES"/*.sh; do
    [[ $script != */lib.sh ]] || continue
    expect 0 "$script" --help
    prints "usage: $(basename "$script")"
    prints "Example:"
    [ -z "$stderr" ]
  done
}

@test "every recipe refuses an argument that it does not know" {
  local script
  for script in "$RECIPES"/*.sh; do
    [[ $script != */lib.sh ]] || continue
    expect 2 "$script" --no-such-option
    says "$(basename "$script"): error: unknown"
    says "$(basename "$script"): hint: "
  done
}

@test "an error names the recipe, what is wrong, and the remedy" {
  expect 74 recipe 'die 74 "disk is full" "delete something"'
  [ "$stderr" = $'some-recipe: error: disk is full\nsome-recipe: hint: delete something' ]
  [ -z "$output" ]
}

@test "temporary folders go away, in failure and on a signal too" {
  local end
  for end in 'true' 'false' 'kill -TERM $$; sleep 1' 'die 65 broken'; do
    run recipe "make_temp_folder; echo \$TEMP_FOLDER; $end"
    [[ -n "${lines[0]}" && ! -e "${lines[0]}" ]]
  done
}

@test "what is to be undone is undone in reverse order, with the code kept" {
  expect 3 recipe 'on_exit "echo first"; on_exit "echo second"; exit 3'
  [ "$output" = $'second\nfirst' ]
}

@test "a program that is not there is named with the remedy" {
  unset PTRAIN_BIN
  PATH=/usr/bin:/bin expect 69 recipe 'find_program ptrain-none'
  says "ptrain-none is neither built nor on PATH"
  says "recipes/quickstart.sh"
}

@test "an installed copy finds its programs beside it" {
  mkdir -p usr/share/ptrain/recipes usr/bin
  cp "$RECIPES/lib.sh" usr/share/ptrain/recipes/
  printf '#!/bin/sh\n' >usr/bin/ptrain-some
  chmod +x usr/bin/ptrain-some
  unset PTRAIN_BIN
  expect 0 bash -c '. usr/share/ptrain/recipes/lib.sh && find_program ptrain-some'
  [ "$(realpath "$output")" = "$(realpath usr/bin/ptrain-some)" ]
}

@test "whole numbers are checked at both ends" {
  local value
  for value in 1 8; do expect 0 recipe "need_count --n $value 1 8"; done
  for value in 0 9 -1 x 1.5 '""' 99999999999999999999; do expect 2 recipe "need_count --n $value 1 8"; done
  says "expected a whole number from 1 to 8"
}

@test "durations are readable" {
  [ "$(recipe 'duration 59; echo; duration 60; echo; duration 3605')" = $'59 s\n1 min 00 s\n60 min 05 s' ]
}

@test "a field of JSON is that of the last object" {
  printf '%s\n' '{"a":1}' '{"a":2,"b":null}' >x.json
  [ "$(recipe 'json_field x.json a; json_field x.json b; json_field x.json c')" = 2 ]
}

@test "install-deps.sh changes nothing when nothing is missing" {
  expect 0 "$RECIPES/install-deps.sh" --check test
  [ -z "$output$stderr" ]
  PATH=$PWD/none:$PATH expect 0 "$RECIPES/install-deps.sh" test
  [ -z "$output$stderr" ]
}

# A machine without packages: dpkg-query knows none, apt-get writes down what it is asked.
bare_machine() {
  mkdir bin
  printf '#!/bin/sh\nexit 1\n' >bin/dpkg-query
  # shellcheck disable=SC2016  # the stand-in expands it
  printf '#!/bin/sh\necho "$@" >>asked\n[ ! -f fail ] || { echo "E: no network"; exit 100; }\n' >bin/apt-get
  chmod +x bin/*
  PATH=$PWD/bin:$PATH
}

@test "install-deps.sh --check prints what is missing, and installs nothing" {
  bare_machine
  expect 1 "$RECIPES/install-deps.sh" --check
  prints $'libtorch-dev\nlibopenblas0-openmp\n'
  [[ $output != *bats* ]]
  expect 1 "$RECIPES/install-deps.sh" --check test
  prints $'bats\n'
  [ ! -e asked ]
}

@test "install-deps.sh says what it installs, and asks apt for no more than that" {
  bare_machine
  expect 0 "$RECIPES/install-deps.sh"
  says "packages: g++ cmake"
  grep -q -- '--no-install-recommends g++ cmake' asked
}

@test "install-deps.sh shows apt's words when apt fails" {
  bare_machine
  touch fail
  expect 69 "$RECIPES/install-deps.sh"
  says "E: no network"
  says "install-deps.sh: error: apt-get update failed"
}
