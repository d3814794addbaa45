#!/usr/bin/env bats
# Plans of small jobs on three hosts: what is printed, and how bad input is named.
# shellcheck disable=SC2154,SC2016  # bats sets stderr and output; $all is jq's

load helper
load measured_hosts

readonly NOW=1790000000
readonly SHAPE='{"model.vocab_size": 256, "model.hidden_size": 64, "model.intermediate_size": 128,
  "model.num_attention_heads": 2, "model.num_key_value_heads": 2, "model.head_dim": 32,
  "data.seq_len": 64, "precision.compute": "float32", "train.recompute": "none"}'

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  cat >job.toml <<'TOML'
[model]
vocab_size = 256
hidden_size = 64
intermediate_size = 128
num_hidden_layers = 8
num_attention_heads = 2
[data]
train = "data/*.bin"
seq_len = 64
[batch]
global = 16
micro = 1
[train]
steps = 10
TOML
  links_of $NOW >links.json
  hosts compute_of
}

# hosts COMMAND: compute.jsonl of the three, by COMMAND NAME SECONDS TIME SHAPE
hosts() {
  {
    compute_of east 0.02 $NOW "$SHAPE"
    compute_of west 0.02 $NOW "$SHAPE"
    "$1" attic 0.3 $NOW "$SHAPE"
  } >compute.jsonl
}

# plan_at TIME OPTION...
plan_at() { ptrain-probe plan --job job.toml --links links.json --compute compute.jsonl --now "$@"; }

# plan OPTION...: at the time of the measurements
plan() { plan_at $NOW "$@"; }

holds() { jq -e "$1" <<<"$output" >/dev/null || { echo "does not hold: $1"; show_output; return 1; }; }

@test "a plan: --set lines, a view, and why" {
  expect 0 plan --json
  [ -z "$stderr" ]
  holds '.kind == "plan" and .version == 1 and (.job_hash | length) == 64'
  holds '.set == ["pipeline.layers=[4,4]"]'
  holds '[.view[].host] | sort == ["east", "west"]'
  holds '.view | map([.stage, .lane]) == [[0, 0], [1, 0]]'
  holds '.tokens_per_s * .step_s | . - 1024 | fabs < 1e-6'
  holds '.explanation.one_machine_is_faster == false'
  holds '.explanation.single_host.tokens_per_s < .tokens_per_s'
  holds '.explanation.unused == [{"host": "attic", "why": .explanation.unused[0].why}]'
  holds '.explanation.limit.what | startswith("the computing of ")'
  holds '.tokens_per_s as $all | [.explanation.losses[].tokens_per_s] | length == 2 and all(. < $all)'
  holds '.explanation.predicted | .lanes == 1 and .bytes_per_step == 16 * 2 * 4 * 64 * 64'
  holds '.explanation.stages | all(.memory_bytes > 1e8 and .memory_bytes < .free_bytes)'
}

@test "the same files make the same plan" {
  expect 0 plan --json
  local first=$output
  expect 0 plan --json
  [ "$output" = "$first" ]
}

@test "a table for people says first whether one machine would do" {
  expect 0 plan
  [[ ${output%%$'\n'*} =~ ^2\ hosts:\ [0-9]+\ tokens/s\;\ (east|west)\ alone:\ [0-9]+\ tokens/s,\ 1\.[0-9]+\ times\ slower$ ]] || { show_output; return 1; }
  prints "--set pipeline.layers=[4,4]"
  prints "  embedding, layers 0 to 3"
  prints "limit: the computing of "
  prints "if every round trip is half as long: "
  prints "without east: "
  prints "unused: attic: "
}

@test "one machine is enough where links are slow" {
  sed -i -e 's/4e7/2e3/g' -e 's/8e7/2e3/g' links.json
  expect 0 plan
  [[ ${output%%$'\n'*} == "one machine, "*", is as fast as many: "* ]] || { show_output; return 1; }
  expect 0 plan --json
  holds '.explanation.one_machine_is_faster and (.view | length) == 1 and .set == ["pipeline.layers=[8]"]'
}

@test "an exact plan is no slower" {
  expect 0 plan --json
  local quick
  quick=$(jq .step_s <<<"$output")
  expect 0 plan --exact --json
  holds ".step_s <= $quick"
  expect 0 plan --exact --set model.num_hidden_layers=16
  expect 2 plan --exact --set model.num_hidden_layers=17
  says "an exact search of 3 hosts and 33 places to cut"
}

@test "batch.micro changes where that is allowed, and helps" {
  links_of $NOW | sed -e 's/0\.01,/0.5,/' >links.json
  expect 0 plan --json
  local one
  one=$(jq .step_s <<<"$output")
  expect 0 plan --json --allow-micro 2
  holds ".step_s <= $one"
  expect 2 plan --allow-micro 3
  says "a microbatch of 3 does not divide batch.global 16"
}

@test "a cut may fall inside a layer, and the job takes it" {
  expect 0 plan --set model.num_hidden_layers=3
  prints '--set pipeline.layers=["1+attention","mlp+1"]'
  prints "  MLP of layer 1, layer 2, head"
  expect 0 plan --json --set model.num_hidden_layers=3
  holds '.explanation.stages | map(.layers) == ["1+attention", "mlp+1"]'
}

@test "codecs change where that is allowed, and brings 5 %" {
  local allowed=(--allow-forward bf16 --allow-forward int8 --allow-backward bf16 --allow-backward int8)
  expect 0 plan --json "${allowed[@]}"
  holds '.set == ["pipeline.layers=[4,4]"]'
  # A microbatch takes a stage 0.54 s; its 16 kB take 0.8 s over such a link, and half of that in bf16.
  sed -i -e 's/[48]e7/2e4/g' links.json
  expect 0 plan --json "${allowed[@]}"
  holds '.set == ["pipeline.layers=[4,4]", "wire.forward=bf16", "wire.backward=bf16"]'
  local chosen
  chosen=$(jq -c '[.job_hash, .step_s]' <<<"$output")
  expect 0 plan --json --set wire.forward=bf16 --set wire.backward=bf16
  [ "$(jq -c '[.job_hash, .step_s]' <<<"$output")" = "$chosen" ]
  expect 2 plan --allow-forward fp8
  says "fp8"
}

@test "a host too small for any block is named, and so is why nothing is possible" {
  small() { compute_of "$@" 112000000; }
  hosts small
  expect 0 plan
  prints "unused: attic: too small for any part of the model: 0.8 MB are usable, a block needs "
  {
    compute_of east 0.02 $NOW "$SHAPE" 1000000
  } >compute.jsonl
  expect 1 plan
  says "no plan is possible with these hosts"
  says "east: too small for any part of the model: 0 MB are usable"
  [ -z "$output" ]
}

@test "hosts of another numerics class" {
  other() { compute_of "$@" 8000000000 avx2; }
  hosts other
  expect 65 plan
  says "compute.jsonl:3: host attic is of numerics class avx2, east is of avx512"
  says "hint: plan with one class: --numerics avx512"
  expect 0 plan --numerics avx512
  prints "unused: attic: of numerics class avx2"
}

@test "files of another job" {
  expect 65 plan --set model.hidden_size=128
  says "compute.jsonl:1: host east was measured with model.head_dim = 32, the job has 64"
  expect 65 plan --set batch.micro=4
  says "host east was measured with microbatches of 1, 2, the job has batch.micro = 4"
  compute_of cellar 0.02 $NOW "$SHAPE" >compute.jsonl
  expect 65 plan
  says "compute.jsonl:1: host cellar is not among those of the links"
}

@test "a plan takes back what the job says of its cut" {
  expect 0 plan --json --set pipeline.cut=blocks --set pipeline.stages=3
  holds '.set == ["pipeline.layers=[4,4]", "pipeline.cut=layers", "pipeline.stages=2"]'
  expect 0 plan --json --set pipeline.layers=[1,7]
  holds '.set == ["pipeline.layers=[4,4]"]'
}

@test "a job of several lanes is refused, with what to do" {
  expect 2 plan --set lanes.count=2
  says "lanes.count = 2: plans are of one lane"
  says "--set lanes.count=1"
  [ -z "$output" ]
  expect 0 plan --json --set lanes.count=2 --set lanes.count=1
  holds '.set == ["pipeline.layers=[4,4]"]'
}

@test "stale measurements" {
  expect 65 plan_at $((NOW + 101)) --max-age 100
  says "host east was measured 1 s before what --max-age allows"
  expect 0 plan_at $((NOW + 100)) --max-age 100
  expect 65 plan_at $((NOW + 8 * 86400))
}

@test "malformed files" {
  echo '{"kind": "links", "version": 1, "time_s": 5, "hosts": [{"name": "east"}], "pairs": 7}' >links.json
  expect 65 plan
  says "links.json: pairs is 7, expected an array"
  echo '{"kind": "links", "version": 1' >links.json
  expect 65 plan
  says "links.json: not JSON at byte"
  links_of $NOW | sed 's/0\.01/-0.01/' >links.json
  expect 65 plan
  says "links.json: pairs[0]: round_trip_s is -0.01, expected a number, 0 or more"
  links_of $NOW >links.json
  sed -i '2s/"forward_s":0.02/"forward_s":NaN/' compute.jsonl
  expect 65 plan
  says "compute.jsonl:2: not JSON at byte"
  hosts compute_of
  sed -i '2s/"block":"mlp"/"block":"moe"/' compute.jsonl
  expect 65 plan
  says 'compute.jsonl:2: blocks[4]: block is "moe", expected embedding, attention, mlp or head'
  expect 74 ptrain-probe plan --job job.toml --links none.json --compute compute.jsonl
  says "none.json"
  expect 65 ptrain-probe plan --job job.toml --links links.json --compute job.toml
  expect 2 ptrain-probe plan --job job.toml --links links.json
}

@test "no exchange over a link that failed" {
  links_of $NOW | sed 's/"from": "west", "to": "east",/& "failed": "reset",/' >links.json
  expect 0 plan --json
  holds '[.view[].host] | contains(["east", "west"]) | not'
}

# metrics COMPUTE_S PEER RATE: three steps of a stage that has one link
metrics() {
  printf '{"kind": "step", "compute_s": %s}\n{"kind": "link", "peer": %d, "goodput_bytes_per_s": %s, "round_trip_s": null}\n' \
    "$1" "$2" "$3" "$1" "$2" "$3" "$1" "$2" "$3"
}

@test "a plan of a running job goes by what its metrics say" {
  plan --json >running.json
  local first
  first=$(jq -r '.view[0].host' running.json)
  # 9 blocks of 16 microbatches at 20 ms, three times, and 9 updates: 8.8 s. The first takes a tenth.
  metrics 0.88 1 4e7 >metrics.jsonl
  metrics 8.8 0 4e7 >stage-1.metrics.jsonl
  expect 0 plan --json --plan running.json --from-metrics metrics.jsonl --from-metrics stage-1.metrics.jsonl
  holds ".view | length == 1 and .[0].host == \"$first\""
  expect 65 plan --plan running.json --from-metrics metrics.jsonl
  says "metrics of 1 stages, the running plan has 2 of 1 lanes"
  expect 65 plan --set train.steps=20 --plan running.json --from-metrics metrics.jsonl
  says "running.json: made for the job "
  expect 2 plan --from-metrics metrics.jsonl
}
