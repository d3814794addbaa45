#!/usr/bin/env bats
# recipes/plot.sh: metrics in, picture out.

load helper

setup() { cd "$BATS_TEST_TMPDIR" || return; }

plot() { "$RECIPES/plot.sh" "$@"; }

# metrics STEPS: a run of that many steps, evaluated once
metrics() {
  local step
  for ((step = 1; step <= $1; step++)); do echo "{\"kind\":\"step\",\"step\":$step,\"loss\":$((100 / step)).5,\"tokens_per_s\":4096.4,\"step_s\":2}"; done
  echo "{\"kind\":\"eval\",\"step\":$1,\"val_loss\":1.5}"
  echo "{\"kind\":\"done\",\"steps\":$1,\"val_loss\":1.5}"
}

is_png() { [ "$(head -c 8 "$1" | od -An -tx1 | tr -d ' ')" = 89504e470d0a1a0a ]; }

@test "metrics become a picture" {
  metrics 200 >m.jsonl
  # A title is text: neither the shell nor gnuplot runs what is in it.
  expect 0 plot m.jsonl -o loss.png --title "it's a \"title\" \`touch one\` \$(touch two)"
  is_png loss.png
  [ ! -e one ]
  [ ! -e two ]
  [ -z "$output$stderr" ]
}

@test "a run's folder is taken for its metrics" {
  mkdir run
  metrics 20 >run/metrics.jsonl
  expect 0 plot run/ -o loss.png
  is_png loss.png
  mkdir empty
  expect 74 plot empty -o loss.png
  says "metrics empty/metrics.jsonl cannot be read"
}

@test "several runs are drawn in one picture, each by its name" {
  mkdir "it's one" two
  metrics 20 >"it's one/metrics.jsonl"
  metrics 50 | jq -c 'if .tokens_per_s then .tokens_per_s *= 2 else . end' >two/metrics.jsonl
  metrics 30 | head -n 30 >three.jsonl
  expect 0 plot "it's one" two three.jsonl -o many.png
  is_png many.png
  [ -z "$output$stderr" ]
  expect 0 plot two -o two.png
  run ! cmp many.png two.png
  : >empty.jsonl
  expect 65 plot two empty.jsonl -o other.png
  says "empty.jsonl holds no step with a loss"
  [ ! -e other.png ]
}

@test "the time of every stage of a run is drawn as bars" {
  mkdir run
  metrics 20 | jq -c '. + {compute_s: .5, wait_s: 1.2, wait_previous_s: 0, wait_next_s: 1}' >run/metrics.jsonl
  sed 's/"wait_next_s":1/"wait_next_s":0.1/' run/metrics.jsonl >run/stage-1.metrics.jsonl
  expect 0 plot run --time -o time.png --title "it's \`touch one\`"
  is_png time.png
  [ -z "$output$stderr" ]
  [ ! -e one ]
  expect 0 plot run/metrics.jsonl --time -o one-stage.png
  is_png one-stage.png
  run ! cmp time.png one-stage.png
  metrics 20 >curves.jsonl
  expect 65 plot curves.jsonl --time -o none.png
  says "curves.jsonl holds no step with its time"
  [ ! -e none.png ]
}

@test "a run of one step, without validation, is drawn too" {
  metrics 1 | head -n 1 >m.jsonl
  expect 0 plot m.jsonl -o loss.png
  is_png loss.png
}

@test "metrics that do not say how many tokens a step has are drawn against steps alone" {
  metrics 20 | jq -c 'del(.tokens_per_s)' >m.jsonl
  expect 0 plot m.jsonl -o loss.png
  is_png loss.png
}

@test "a last line that was cut off is passed over" {
  metrics 20 | head -c -20 >m.jsonl
  expect 0 plot m.jsonl -o loss.png
  is_png loss.png
}

@test "metrics without a loss are refused, and no picture is left" {
  : >empty.jsonl
  expect 65 plot empty.jsonl -o loss.png
  says "empty.jsonl holds no step with a loss"
  echo 'not json' >text
  expect 65 plot text -o loss.png
  echo '{"kind":"step","step":1,"loss":null}' >null
  expect 65 plot null -o loss.png
  [ ! -e loss.png ]
}

@test "metrics that are not there are named" {
  expect 74 plot none.jsonl -o loss.png
  says "metrics none.jsonl cannot be read"
}

@test "a picture that cannot be written is named" {
  metrics 3 >m.jsonl
  expect 74 plot m.jsonl -o none/loss.png
  says "picture none/loss.png cannot be written"
}

@test "wrong arguments are usage errors" {
  metrics 3 >m.jsonl
  expect 2 plot m.jsonl
  says "RUN and -o PICTURE are needed"
  # shellcheck disable=SC2046  # nine words
  expect 2 plot $(for _ in {1..9}; do echo m.jsonl; done) -o x.png
  says "9 runs: one picture shows 8 at most"
  expect 2 plot m.jsonl -o x.png --colour
}

@test "the links between hosts are drawn as a map" {
  cat >links.json <<'JSON'
{"kind":"links","version":1,"time_s":1,"hosts":[{"name":"east"},{"name":"west"},{"name":"attic","failed":"dead"}],
 "pairs":[{"from":"east","to":"west","rate_bytes_per_s":5e6},{"from":"west","to":"east","rate_bytes_per_s":1e5,
 "detail":{"stale":true}},{"from":"attic","to":"east","failed":"dead"}]}
JSON
  expect 0 plot links.json --links -o links.png
  is_png links.png
  [ -z "$output$stderr" ]
  jq -c '.hosts[0].name = "a`touch one`"' links.json >other.json
  expect 65 plot other.json --links -o other.png
  says "other.json holds no links between hosts"
  [ ! -e one ]
  [ ! -e other.png ]
  metrics 3 >m.jsonl
  expect 65 plot m.jsonl --links -o other.png
  expect 2 plot links.json --links --time -o other.png
}
