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

@test "probe-then-train.sh plans for two hosts or more, and says so before it reaches any" {
  touch job.toml ticket
  local planning=("$RECIPES/probe-then-train.sh" --hosts hosts --job job.toml --ticket ticket --out out --ssh false)
  printf '%s\n' '# alone' 'ada@one bin=/opt' >hosts
  expect 2 "${planning[@]}"
  says "hosts names one host: there are no links to measure, and nothing to plan; ssh.sh trains on it"
  [ ! -e out ]
  echo '# none' >hosts
  expect 2 "${planning[@]}"
  says "hosts names no host"
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
  expect 3 recipe 'on_exit "echo first"; on_exit false; on_exit "echo second"; exit 3'
  [ "$output" = $'second\nfirst' ]
}

# A child that says that it was told, and takes a moment to leave with CODE.
slow_child() {
  cat >slow-child <<CHILD
#!/usr/bin/env bash
trap 'echo told >>told; sleep 0.3; echo left >left; exit $1' TERM INT HUP
echo >working
for ((i = 0; i < 300; i++)); do sleep 0.1; done
CHILD
  chmod +x slow-child
}

# told SIGNAL CHILD-CODE CODE [-]: a recipe with such a child ends with CODE when it gets SIGNAL; with -,
# when its whole process group does
told() {
  rm -f told left working
  slow_child "$2"
  printf '%s\n' '#!/usr/bin/env bash' ". '$RECIPES/lib.sh'" 'child ./slow-child; echo went on' >some-recipe
  setsid env --default-signal=INT bash some-recipe >printed 2>said 3>&- &
  local recipe=$! code=0
  eventually 60 test -s working
  kill -s "$1" -- "${4-}$recipe"
  wait "$recipe" || code=$?
  cat said
  [[ $code -eq $3 ]] || { echo "code $code, expected $3"; return 1; }
  [ -s left ]
  [ ! -s printed ]
}

@test "what tells a recipe to end lets its child leave in order" {
  local signal
  for signal in TERM:143 INT:130 HUP:129; do
    told "${signal%:*}" 143 "${signal#*:}"
    told "${signal%:*}" 143 "${signal#*:}" -
  done
}

@test "a child that meets an error while it leaves gives the code" {
  told TERM 74 74
}

@test "a recipe waits without a process that a signal could end" {
  # shellcheck disable=SC2016  # the recipe expands it
  expect 0 recipe 'begun=$EPOCHREALTIME; pause 0.3; (( (${EPOCHREALTIME/./} - ${begun/./}) >= 300000 )); [[ -z $(jobs -p) ]]'
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

@test "a time that is foreseen is a round one" {
  [ "$(recipe 'about 1; echo; about 89; echo; about 200; echo; about 5399; echo; about 9000')" = \
    $'10 s\n90 s\n3 minutes\n90 minutes\n3 hours' ]
}

# steps FROM TO SECONDS: metrics of these steps
steps() { seq -f "{\"kind\":\"step\",\"step\":%.0f,\"step_s\":$3}" "$1" "$2"; }

@test "the first steps foretell the time, and a slow one among them does not" {
  { steps 1 1 90; steps 2 20 0.5; } >metrics
  [ "$(recipe 'foretell metrics 2000 ""')" = 990 ]
  steps 1 19 0.5 >metrics
  expect 124 timeout 2 bash some-recipe
  [ -z "$output" ]
}

@test "a run that goes on is foretold by its own steps, not by those of the one before" {
  steps 1 150 9 >metrics
  : >looks
  # It tells how often it has looked at the last line, and for steps.
  recipe 'tail() { echo tail >>looks; command tail "$@"; }; jq() { echo jq >>looks; command jq "$@"; }
    foretell metrics 1000 '"'$(tail -n 1 metrics)'"' >told' 3>&- &
  looked() { (($(grep -c "$1" looks) >= $2)); }
  eventually 60 looked tail 2
  { steps 1 100 9; steps 101 103 0.1; } >new
  mv new metrics
  eventually 60 looked jq 2  # the first time, at where the run begins
  steps 104 130 0.1 >>metrics
  eventually 60 test -s told
  [ "$(cat told)" = 87 ]
}

@test "a field of JSON is that of the last object" {
  printf '%s\n' '{"a":1}' '{"a":2,"b":null}' >x.json
  [ "$(recipe 'json_field x.json a; json_field x.json b; json_field x.json c')" = 2 ]
}

# machine: a /proc and a /sys below $PWD/fs, of 4 GiB, whose control groups limit nothing
machine() {
  mkdir -p fs/proc/self
  printf 'MemTotal: 9999999 kB\nMemAvailable: 4194304 kB\n' >fs/proc/meminfo
  printf '0::%s\n' "$1" >fs/proc/self/cgroup
  printf '9 1 0:5 %s /cg rw shared:1 - cgroup2 cgroup rw\n' "${2-/}" >fs/proc/self/mountinfo
}

# limit GROUP FILE TEXT
limit() { mkdir -p "fs$1" && printf '%s\n' "$3" >"fs$1/$2"; }

here() { recipe "FILESYSTEM=fs; nproc() { echo 8; }; $1"; }

@test "builds use the processors that the machine has, and 2 GiB of memory for each" {
  machine /
  [ "$(here cores)" = 8 ]
  [ "$(here memory_mib)" = 4096 ]
  [ "$(here build_jobs)" = 2 ]
}

@test "a container's quota and memory are the least of its groups'" {
  machine /slice/box
  limit /cg/slice/box cpu.max '400000 100000'
  limit /cg/slice cpu.max '250000 100000'
  limit /cg/slice/box memory.max max
  limit /cg/slice memory.max 1073741824
  [ "$(here cores)" = 3 ]
  [ "$(here memory_mib)" = 1024 ]
  [ "$(here build_jobs)" = 1 ]
  limit /cg/slice cpu.max 'max 100000'
  [ "$(here cores)" = 4 ]
}

@test "a container that sees its own group as the root is limited by it" {
  local group
  for group in / /docker/1 /../..; do
    machine "$group" "$([[ $group == /docker/1 ]] && echo /docker/1 || echo /)"
    limit /cg cpu.max '1000 100000'
    [ "$(here cores)" = 1 ]
  done
}

@test "the older control groups limit as well" {
  machine /
  printf '3:memory:/box\n2:cpu,cpuacct:/box/in\n' >fs/proc/self/cgroup
  printf '%s\n' '7 1 0:5 / /cpu rw - cgroup cgroup rw,cpu,cpuacct' \
    '8 1 0:6 / /memory rw shared:3 - cgroup cgroup rw,memory' >fs/proc/self/mountinfo
  limit /cpu/box/in cpu.cfs_quota_us -1
  limit /cpu/box/in cpu.cfs_period_us 100000
  limit /cpu/box cpu.cfs_quota_us 150000
  limit /cpu/box cpu.cfs_period_us 100000
  limit /memory/box memory.limit_in_bytes 2147483648
  limit /memory memory.limit_in_bytes 9223372036854771712
  [ "$(here cores)" = 2 ]
  [ "$(here memory_mib)" = 2048 ]
}

@test "a machine without control groups limits nothing" {
  machine /
  rm fs/proc/self/*
  [ "$(here cores)" = 8 ]
  [ "$(here memory_mib)" = 4096 ]
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
