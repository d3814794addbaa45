#!/usr/bin/env bats
# recipes/ssh.sh over a real sshd, which is three hosts, each with a home of its own.
# shellcheck disable=SC2030,SC2031,SC2154  # bats runs each test in a process of its own, and sets stderr

load ../cli/helper
load ../cli/tiny_job
load free_port
load ssh_server

setup_file() {
  cd "$BATS_FILE_TMPDIR" || return
  tiny_data "$PWD"
  sed -i '/^\[optim\]/a schedule = "constant"' job.toml  # so that a run can get more steps
  start_ssh_server "$PWD/ssh"
  export SSH ssh_server ssh_port
  weights 1 "${LANED[@]}" >alone
}

teardown_file() { stop_ssh_server; }

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  ln -s "$BATS_FILE_TMPDIR"/{data,job.toml} .
  for host in "${SSH_HOSTS[@]}"; do rm -rf "${BATS_FILE_TMPDIR:?}/ssh/$host"/*; done
  port=$(free_port)
}

teardown() {
  local pid
  for pid in $(jobs -p); do kill -KILL -- "-$pid" "$pid" 2>/dev/null || true; done
}

LANED=(--set lanes.count=2 --set batch.micro=2)
LONG=(--set train.steps=1000000 --set checkpoint.every=1000000)

# hosts LINE...: the file of hosts, where A, B and C stand for the addresses, P0 to P9 for ports
hosts() {
  printf '%s\n' "$@" | sed -e "s/\bA\b/${SSH_HOSTS[0]}/g; s/\bB\b/${SSH_HOSTS[1]}/g; s/\bC\b/${SSH_HOSTS[2]}/g" \
    -e "s/:P\([0-9]\)/:$((port / 10))\1/g" >hosts
}

home() { printf '%s/ssh/%s' "$BATS_FILE_TMPDIR" "$1"; }

ssh_recipe=("$RECIPES/ssh.sh" --hosts hosts --job job.toml --out out --ship-data --bin "$PTRAIN_BIN" --threads 1)

# begin [OPTION]...: in the background, in a process group of its own, as $run, until it trains
begin() {
  setsid env --default-signal=INT "${ssh_recipe[@]}" --ssh "$SSH" "${LONG[@]}" "$@" >printed 2>said 3>&- &
  run=$!
  eventually 120 steps_done out/metrics.jsonl 5 || { cat said; return 1; }
}

# stages [HOST]: the processes of ptrain-stage there; they have the homes of the hosts
stages() {
  local pid
  for pid in $(pgrep -f "^[^ ]*ptrain-stage run"); do
    if tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -qx "HOME=$(home "${1-}")[^/]*"; then echo "$pid"; fi
  done
}

parent_of() { awk '$1 == "PPid:" { print $2 }' "/proc/$1/status"; }

none_left() { [[ -z $(stages) ]]; }

# saved FOLDER...: each has the last step that was trained, whole
saved() {
  local folder trained
  trained=$(jq -s 'map(.step // 0) | max' "$(home "${SSH_HOSTS[0]}")"/ptrain/out-*/stage-0.metrics.jsonl)
  for folder in "$@"; do
    [ -f "$folder/$(printf 'step-%08d' "$trained")/manifest.json" ] || { ls "$folder"; return 1; }
  done
}

@test "cells on three hosts train to the weights of one process, and all of it comes home" {
  hosts 'A 0,0 A:P0' 'B 0,1 B:P1  # the second lane' '' 'C 1,1 1,0 C:P2'
  expect 0 "${ssh_recipe[@]}" --ssh "$SSH" --json --set batch.micro=2
  [ "$(jq -r .weights_sha256 <<<"$output")" = "$(<"$BATS_FILE_TMPDIR/alone")" ]
  says "stage 0, lane 0 on ${SSH_HOSTS[0]}: "
  says "stage 1, lanes 1, 0 on ${SSH_HOSTS[2]}: "
  jq -es 'map(select(.kind == "step")) | length == 20' out/metrics.jsonl
  jq -es 'map(select(.kind == "step")) | length == 20' out/stage-1-lane-1.metrics.jsonl
  grep -q . out/stage-0-lane-1.log
  [ "$(jq -r .weights_sha256 out/result.json)" = "$(<"$BATS_FILE_TMPDIR/alone")" ]
  expect 0 ptrain-ckpt verify --data out/ckpt/latest
  # A middle host, or one in no lane 0, has no more than it needs; keys are for the person alone.
  [ -z "$(find "$(home "${SSH_HOSTS[1]}")" -path '*/ckpt/*' -type f ! -name '.*')" ]
  [ -z "$(find "$(home "${SSH_HOSTS[0]}")"/ptrain/out-*{,/keys} -maxdepth 0 -perm /077)" ]
}

@test "a run goes on where its checkpoint is, and where the cells are on other hosts" {
  hosts 'A 0,0 0,1 A:P0' 'B 1,0 1,1 B:P1'
  local job=("${ssh_recipe[@]}" --ssh "$SSH" --quiet --json "${LANED[@]}" --set checkpoint.every=2)
  expect 0 "${job[@]}" --set train.steps=6
  [ -z "$stderr" ]
  expect 0 "${job[@]}" --set train.steps=12
  jq -es 'map(select(.kind == "step").step) == [range(1; 13)]' out/metrics.jsonl
  # C never saw the run, B held the other stage: they get the files of the checkpoint from here.
  hosts 'B 0,1 0,0 B:P0' 'C 1,0 1,1 C:P1'
  expect 0 "${job[@]}" --set train.steps=20
  [ "$(jq -r .weights_sha256 <<<"$output")" = "$(<"$BATS_FILE_TMPDIR/alone")" ]
  jq -es 'map(select(.kind == "step").step) == [range(1; 21)]' out/metrics.jsonl
  expect 0 "${ssh_recipe[@]}" --ssh "$SSH" "${LANED[@]}" --set checkpoint.every=2
  says "nothing to do: the run in $PWD/out has done its 20 steps"
}

@test "cells are dealt to hosts in turn where the file names none" {
  hosts 'A A:P0' 'B B:P3 listen=0.0.0.0:P3'
  expect 0 "${ssh_recipe[@]}" --ssh "$SSH" --json --stages 2 --lanes 2 --set batch.micro=2
  [ "$(jq -r .weights_sha256 <<<"$output")" = "$(<"$BATS_FILE_TMPDIR/alone")" ]
  says "stage 0, lane 1 on ${SSH_HOSTS[1]}: "
  says "stage 1, lane 0 on ${SSH_HOSTS[0]}: "
}

@test "processes meet through the relays of a ticket" {
  ptrain-relay serve --state relay --listen "tcp://127.0.0.1:$port" --data "$((port + 1))" \
    --public-host 127.0.0.1 >word 2>relay.said 3>&- &
  eventually 60 test -s word
  ptrain-relay ticket new --run alice --relay "$(<word)" --out ticket >/dev/null
  hosts A B
  expect 0 "${ssh_recipe[@]}" --ssh "$SSH" --json --ticket ticket --stages 2 --set train.steps=4
  [ "$(jq -r .weights_sha256 <<<"$output")" = "$(weights 1 --set train.steps=4)" ]
  kill -TERM %1
}

# plan_of HOST HOST: plan.json, two stages of two layers
plan_of() {
  jq -n --arg hash "$(ptrain-stage job --job job.toml --set 'pipeline.layers=[2,2]' --json | jq -r .job_hash)" '
    {kind: "plan", version: 1, job_hash: $hash, set: ["pipeline.layers=[2,2]"], tokens_per_s: 1000, step_s: 0.256,
     view: [$ARGS.positional | to_entries[] | {stage: .key, lane: 0, host: .value}], explanation: {}}' \
    --args "$@" >plan.json
}

@test "a plan says which hosts hold what" {
  local planned=("${ssh_recipe[@]}" --ssh "$SSH" --json --plan plan.json)
  plan_of attic "${SSH_HOSTS[0]//./-}"
  hosts 'A A:P0' 'B B:P1' 'C C:P2 name=attic'
  expect 0 "${planned[@]}"
  [ "$(jq -r .weights_sha256 <<<"$output")" = "$(weights 1)" ]
  says "stage 0 on ${SSH_HOSTS[2]}: "
  says 'the plan had 1000 tokens/s, it is '
  says "stage 1 on ${SSH_HOSTS[0]}: "
  says "${SSH_HOSTS[1]} has no part in the plan"
  hosts 'A A:P0' 'B B:P1'
  expect 2 "${planned[@]}"
  says "hosts has no host that the plan's attic could be: name it with name=attic"
  hosts 'A 0,0 A:P0' 'C C:P2 name=attic'
  expect 2 "${planned[@]}"
  says 'it has cells, and --plan says who holds them'
  hosts 'A A:P0' 'C C:P2 name=attic'
  expect 65 "${planned[@]}" --set optim.lr=0.5
  says 'plan.json: made for another job than job.toml'
  echo '{}' >plan.json
  expect 65 "${planned[@]}"
  says 'plan.json is no plan'
}

@test "hosts are measured, the job is planned for them, and trains by the plan" {
  ptrain-relay serve --state relay --listen "tcp://127.0.0.1:$port" --data "$((port + 1))" \
    --public-host 127.0.0.1 >word 2>relay.said 3>&- &
  eventually 60 test -s word
  ptrain-relay ticket new --run alice --relay "$(<word)" --out ticket >/dev/null
  hosts A B 'C name=attic'
  local recipe=("$RECIPES/probe-then-train.sh" --hosts hosts --job job.toml --ticket ticket --ssh "$SSH"
    --bin "$PTRAIN_BIN" --seconds 1)
  expect 0 "${recipe[@]}" --out out -- --ship-data --threads 1 --json
  local sha256
  sha256=$(jq -r .weights_sha256 <<<"$output")
  jq -es 'map(.host) == ["127-0-0-11", "127-0-0-12", "attic"] and all(.free_bytes > 0)' out/compute.jsonl
  jq -e '(.hosts | length) == 3 and ([.pairs[] | select(.rate_bytes_per_s > 0)] | length) == 6' out/links.json
  jq -e '.kind == "plan" and .tokens_per_s > 0' out/plan.json
  grep -q 'tokens/s' <<<"$stderr"
  [ -z "$(pgrep -f "^[^ ]*ptrain-probe serve")" ]
  expect 0 "${recipe[@]}" --out other --plan-only --quiet --allow-micro 4 --allow-forward bf16
  [ -z "$stderr" ]
  jq -es 'all([.blocks[].micro] | index(4))' other/compute.jsonl
  [ ! -d other/ckpt ]
  hosts A 'B name=127-0-0-11'
  expect 2 "${recipe[@]}" --out other
  says 'two hosts are called 127-0-0-11'
  hosts A '127.0.0.99 '
  expect 69 "${recipe[@]}" --out other
  says '127.0.0.99: ssh: connect to host 127.0.0.99'
  kill -TERM %1
  [ "$sha256" = "$(weights 1)" ]  # in ./out
}

@test "Ctrl-C ends all processes, with what was trained saved on the hosts and here" {
  hosts 'A 0,0 A:P0' 'B 1,0 B:P1'
  expect 130 "$ROOT/tests/cli/on_terminal.py" 'holds:out/metrics.jsonl:"kind":"step"' 'type:^C' -- \
    "${ssh_recipe[@]}" --ssh "$SSH" "${LONG[@]}"
  none_left
  saved out/ckpt "$(home "${SSH_HOSTS[0]}")"/ptrain/out-*/ckpt "$(home "${SSH_HOSTS[1]}")"/ptrain/out-*/ckpt
  ptrain-ckpt verify --data out/ckpt/latest
}

@test "processes end when the connection to one of them does, and save" {
  hosts 'A 0,0 A:P0' 'B 1,0 B:P1'
  begin
  # The server's own process for this connection is the parent of who keeps the stage.
  kill -KILL "$(parent_of "$(parent_of "$(stages "${SSH_HOSTS[1]}")")")"
  local code=0
  wait "$run" || code=$?
  cat said
  [ "$code" -eq 69 ]
  grep -q "error: stage 1 on ${SSH_HOSTS[1]} ended with code 69" said
  eventually 30 none_left
  saved "$(home "${SSH_HOSTS[1]}")"/ptrain/out-*/ckpt
}

@test "processes end when ssh.sh is killed, and save" {
  hosts 'A 0,0 A:P0' 'B 1,0 B:P1'
  begin
  kill -KILL "$run"
  wait "$run" || [ "$?" -eq 137 ]
  eventually 30 none_left
  saved "$(home "${SSH_HOSTS[0]}")"/ptrain/out-*/ckpt
}

@test "processes end when nothing comes over a connection that seems to live" {
  hosts 'A 0,0 A:P0' 'B 1,0 B:P1'
  begin --silence 10
  local pulse
  pulse=$(pgrep -P "$run" -f 'bash -c.* pulse ')
  kill -STOP "$pulse"
  local code=0
  wait "$run" || code=$?
  kill -CONT "$pulse" || true
  [ "$code" -ne 0 ]
  grep -q 'ssh.sh is gone: told to stop' out/stage-?.log
  none_left
  saved "$(home "${SSH_HOSTS[0]}")"/ptrain/out-*/ckpt
}

@test "the process that failed first gives the code, and its last words" {
  hosts 'A 0,0 A:P0' 'B 1,0 B:P1'
  begin
  kill -KILL "$(stages "${SSH_HOSTS[1]}")"
  local code=0
  wait "$run" || code=$?
  cat said
  [ "$code" -eq 137 ]
  grep -q "SIGKILL came from somebody on ${SSH_HOSTS[1]}" said
  grep -q "stage 1 on ${SSH_HOSTS[1]} was ended by SIGKILL" said
  none_left
  expect 2 "${ssh_recipe[@]}" --ssh "$SSH" --set optim.lr=no
  says 'optim.lr'
}

@test "hosts that cannot be had are named, with the remedy" {
  hosts 'A A:P0' '127.0.0.99 B:P1'
  expect 69 "${ssh_recipe[@]}" --ssh "$SSH" --stages 2
  says 'error: 127.0.0.99: ssh: connect to host 127.0.0.99'
  says 'hint: does ssh get there without asking?'
  hosts 'A A:P0' 'B B:P1 bin=/nowhere'
  expect 69 "${ssh_recipe[@]}" --ssh "$SSH" --stages 2
  says "error: ${SSH_HOSTS[1]}: /nowhere/ptrain-stage is no program here"
  none_left
}

@test "a file of hosts that says nothing sensible is refused by line" {
  refused() {  # refused WORDS LINE...
    hosts "${@:2}"
    expect 2 "${ssh_recipe[@]}" --ssh "$SSH"
    says "$1"
  }
  refused 'hosts names no host' '# nobody'
  refused "hosts, line 2: ${SSH_HOSTS[1]}:x is neither STAGE,LANE nor ADDRESS:PORT" 'A 0,0 A:P0' 'B B:x'
  refused "${SSH_HOSTS[1]} has no cell, and others have" 'A 0,0 A:P0' 'B B:P1'
  refused 'nobody holds cell 0,0' 'A 1,0 A:P0' 'B 0,1 B:P1'
  refused "${SSH_HOSTS[0]} has no ADDRESS:PORT" 'A 0,0' 'B 1,0 B:P1'
  refused 'line 1: -oProxyCommand=x is no host' '-oProxyCommand=x 0,0 A:P0'
  hosts 'A 0,0 A:P0' 'B 1,0 B:P1'
  expect 2 "${ssh_recipe[@]}" --ssh "$SSH" --stages 3
  says '--stages 3: hosts has cells of 2 stages'
  expect 2 "${ssh_recipe[@]}" --ssh "$SSH" --remote 'a b'
  says '--remote a b: letters'
}
