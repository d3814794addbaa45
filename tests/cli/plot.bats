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
  [ ! -e one ] && [ ! -e two ]
  [ -z "$output$stderr" ]
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
  says "METRICS and -o PICTURE are needed"
  expect 2 plot m.jsonl m.jsonl -o x.png
  expect 2 plot m.jsonl -o x.png --colour
}
