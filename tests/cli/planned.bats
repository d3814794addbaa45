#!/usr/bin/env bats
# From measurements to a run: what ptrain-stage bench measures is what a plan is made from, and stages
# run by the plan as it is.
# shellcheck disable=SC2154  # bats sets stderr and output

load helper
load tiny_job
load measured_hosts

setup_file() { tiny_data "$BATS_FILE_TMPDIR"; }

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  ln -s "$BATS_FILE_TMPDIR"/{data,job.toml} .
}

measure() {  # measure HOST [OPTION]...
  ptrain-probe compute --job job.toml --host "$1" --seconds 0.2 --threads 1 --json "${@:2}" 2>/dev/null
}

# planned: plan.json, of two hosts that are alike; with many microbatches two are faster than one
planned() {
  links_of "$EPOCHSECONDS" | jq -c '.hosts |= map(select(.name != "attic")
    | .out_bytes_per_s = 1e9 | .in_bytes_per_s = 1e9) | .sites = [] | .pairs[].rate_bytes_per_s = 1e9' >links.json
  # Of one host, so that no other process decides: a layer takes a second.
  measure east | jq -c '.blocks |= map(.forward_s = 1 | .input_s = 1 | .weight_s = 1)' >compute.jsonl
  jq -c '.host = "west"' compute.jsonl >west && cat west >>compute.jsonl
  ptrain-probe plan --job job.toml --links links.json --compute compute.jsonl --json >plan.json
}

@test "a host measures each block of a job, its codecs and itself" {
  expect 0 ptrain-stage bench --job job.toml --host east --seconds 0.1 --micro 4 --json
  jq -e '.kind == "compute" and .host == "east" and .cores >= 1 and .free_bytes <= .memory_bytes' <<<"$output"
  jq -e '[.blocks[] | [.block, .micro]] | length == 8 and (unique | length) == 8' <<<"$output"
  jq -e '.blocks | map(select(.block == "attention" or .block == "mlp"))
    | all(.forward_s > 0 and .input_s > 0 and .weight_s > 0 and .update_s > 0 and .kept_bytes > 0)' <<<"$output"
  jq -e '[.codecs[].codec] == ["bf16", "fp32", "int8"]' <<<"$output"
  jq -e '.shape["model.hidden_size"] == 32 and .detail.laps >= 3' <<<"$output"
  # Twice the sequences keep twice the bytes.
  jq -e '[.blocks[] | select(.block == "mlp").kept_bytes] | .[1] == 2 * .[0]' <<<"$output"
  expect 0 ptrain-stage bench --job job.toml --host east --seconds 0.1
  [[ $output == *'east: numerics class '* && $output == *'codec int8'* ]]
}

@test "its numerics class is the one that a run has" {
  measure east >compute.jsonl
  ptrain-stage run --job job.toml --set train.steps=1 --threads 1 --metrics metrics >/dev/null
  [ "$(jq -r .numerics compute.jsonl)" = "$(jq -r 'select(.kind == "memory").numerics_class' metrics)" ]
}

@test "stages run by a plan as it is, and say what came of it" {
  planned
  [ "$(jq -c '[.view[].stage]' plan.json)" = '[0,1]' ]
  endpoints 2
  local east west
  ptrain-stage run --job job.toml --plan plan.json --host east --endpoints endpoints --threads 1 \
    >printed-east 2>said-east 3>&- &
  east=$!
  ptrain-stage run --job job.toml --plan plan.json --host west --endpoints endpoints --threads 1 \
    >printed-west 2>said-west 3>&- &
  west=$!
  wait "$east" && wait "$west" || { cat said-*; return 1; }
  # The plan thought that a layer takes a second.
  grep -hqE 'the plan had .* tokens/s, it is .* instead of .* s; the computing of (east|west), stage [01], takes ' said-east said-west
  # The cut changes no bit.
  [ "$(sed -n 's/^weights_sha256 //p' printed-east printed-west)" = "$(weights 1)" ]
}

@test "pipeline.sh runs the stages of a plan on one machine" {
  planned
  local recipe=("$RECIPES/pipeline.sh" --job job.toml --out planned --threads 1 --json)
  expect 0 "${recipe[@]}" --plan plan.json
  [ "$(jq -r .weights_sha256 <<<"$output")" = "$(weights 1)" ]
  [ -e planned/stage-1.log ]
  grep -q 'the plan had .* tokens/s' planned/stage-0.log
  expect 2 "${recipe[@]}" --plan plan.json --stages 2
  says '--plan says how many stages'
  expect 65 "${recipe[@]}" --plan plan.json --set optim.lr=0.5
  says 'plan.json: made for the job'
  expect 65 "${recipe[@]}" --plan job.toml
  says 'job.toml is no plan'
  expect 65 "${recipe[@]}" --plan /dev/null
  says '/dev/null is no plan'
  expect 74 "${recipe[@]}" --plan nowhere.json
}

@test "a plan that does not fit is refused, by name" {
  planned
  endpoints 2
  local run=(ptrain-stage run --job job.toml --plan plan.json)
  expect 2 "${run[@]}" --host north --endpoints endpoints
  says '--host north: it has no part in the plan plan.json'
  says 'east, west'
  expect 2 "${run[@]}" --host east
  says 'the plan plan.json has 2 stages, and nothing says where the others are'
  expect 65 "${run[@]}" --host east --endpoints endpoints --set optim.lr=0.5
  says 'plan.json: made for the job'
  expect 2 "${run[@]}" --host east --stage 1 --endpoints endpoints
  expect 2 ptrain-stage run --job job.toml --host east
  echo '{}' >other.json
  expect 65 ptrain-stage run --job job.toml --plan other.json --host east --endpoints endpoints
  says 'other.json'
  expect 74 ptrain-stage run --job job.toml --plan nowhere.json
  expect 2 ptrain-stage bench --job job.toml --host 'no name' --seconds 0.1
  says '--host no name is no name for a host in a plan'
  expect 2 ptrain-stage bench --job job.toml --micro 3
  says '--micro 3: it does not divide batch.global 8'
}

@test "without ptrain-stage nothing can be measured, and that is said" {
  mkdir bin
  cp "$(command -v ptrain-probe)" bin
  expect 69 env PATH="/usr/bin:/bin" bin/ptrain-probe compute --job job.toml
  says 'ptrain-stage is neither beside this program nor on PATH'
}
