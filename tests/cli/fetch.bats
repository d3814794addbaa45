#!/usr/bin/env bats
# Checkpoints from host to host: ptrain-ckpt serve, fetch and replicate, as a person uses them.

load helper
load tiny_job

# One run for all tests: a checkpoint of two stages in some megabytes, of three steps.
setup_file() {
  cd "$BATS_FILE_TMPDIR" || return
  tiny_data "$PWD"
  "$RECIPES/pipeline.sh" --job job.toml --stages 2 --out run --threads 1 \
    --set train.steps=3 --set optim.warmup_steps=1 --set checkpoint.every=1 \
    --set model.hidden_size=256 --set model.intermediate_size=704 >/dev/null
}

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  ln -s "$BATS_FILE_TMPDIR/run/ckpt" source
  export XDG_CONFIG_HOME=$PWD/config
}

teardown() {
  local pid
  for pid in $(jobs -p); do kill "$pid" 2>/dev/null || true; done
  wait
}

# serve NAME [OPTION]...: a holder of source/ on the socket NAME, and its pid in $holder
serve() {
  local name=$1
  shift
  ptrain-ckpt serve --dir source --listen "ipc://$PWD/$name" "$@" >"$name.out" 2>"$name.err" 3>&- &
  holder=$!
  eventually 60 test -s "$name.out"
}

here() { printf 'ipc://%s/%s' "$PWD" "$1"; }
fetch() { ptrain-ckpt fetch "$@"; }
id_of() { ptrain-ckpt ls --dir source --json | jq -r "select(.step == $1) | .id"; }
field() { jq -r "$1" <<<"$output"; }

# flip FILE OFFSET: one bit
flip() {
  local byte
  byte=$(od -An -tu1 -j "$2" -N 1 "$1")
  printf "%b" "\\x$(printf '%02x' $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

@test "the latest checkpoint is fetched whole" {
  serve a
  [ "$(<a.out)" = "$(here a)" ]
  expect 0 fetch --from "$(here a)" --dir copy --json
  [ "$(field .step)" = 3 ]
  [ "$(field .id)" = "$(id_of 3)" ]
  [ "$(field '.fetched_bytes == .size_bytes')" = true ]
  expect 0 ptrain-ckpt verify --data copy/latest
  expect 0 fetch --from "$(here a)" --dir copy --json
  [ "$(field .fetched_bytes)" = 0 ]
}

@test "a step, its name and an id name what is wanted" {
  serve a
  expect 0 fetch --from "$(here a)" --dir one 1
  expect 0 fetch --from "$(here a)" --dir two step-00000002
  expect 0 fetch --from "$(here a)" --dir three "$(id_of 2 | head -c 10)"
  expect 0 ptrain-ckpt verify --data one/1 two/2 three/2
  expect 69 fetch --from "$(here a)" --dir four 4
  says "no holder has 4: they have step-00000003"
}

@test "one stage alone is fetched as its host keeps it" {
  serve a
  expect 0 fetch --from "$(here a)" --dir copy --stage 1
  [ ! -e copy/step-00000003/stage-00.model.safetensors ]
  expect 0 ptrain-ckpt verify --data --held copy/3
  expect 69 fetch --from "$(here a)" --dir copy --stage 2
  says "no holder has stage 2 of a checkpoint"
}

@test "several holders are used, also when each has one stage" {
  serve a
  local full=source
  mkdir parts
  cp -r "$full"/step-00000003 parts/
  rm parts/step-00000003/stage-00.*
  ptrain-ckpt serve --dir parts --listen "$(here b)" >b.out 2>b.err 3>&- &
  eventually 60 test -s b.out
  expect 69 fetch --from "$(here b)" --dir copy 3
  says "no holder has stage 0"
  expect 0 fetch --from "$(here a)" --from "$(here b)" --dir copy --json
  expect 0 ptrain-ckpt verify --data copy/latest
}

@test "a flipped bit is named and repaired by one chunk" {
  serve a
  expect 0 fetch --from "$(here a)" --dir copy
  flip copy/step-00000003/stage-01.optim.safetensors 4194400
  expect 65 ptrain-ckpt verify --data copy/latest
  expect 0 fetch --from "$(here a)" --dir copy --json
  [ "$(field '.repaired | length')" = 1 ]
  [ "$(field '.repaired[0] | "\(.file) \(.chunk)"')" = "stage-01.optim.safetensors 1" ]
  [ "$(field '.fetched_bytes <= 4194304')" = true ]
  expect 0 ptrain-ckpt verify --data copy/latest
  flip copy/step-00000003/stage-01.optim.safetensors 4194400
  expect 0 fetch --from "$(here a)" --dir copy
  prints "stage-01.optim.safetensors: chunk 1"
}

@test "after SIGKILL the fetch goes on and little is sent twice" {
  serve a --json
  local total partly
  total=$(jq -s 'map(.size_bytes) | max' < <(ptrain-ckpt ls --dir source --json))
  ptrain-ckpt fetch --from "$(here a)" --dir copy --rate 4MB 3>&- &
  local fetching=$!
  enough() { [ "$(du -s --block-size=1 copy 2>/dev/null | cut -f 1)" -gt $((total / 2)) ]; }
  eventually 60 enough
  kill -KILL "$fetching"
  wait "$fetching" || true
  [ ! -e copy/step-00000003/manifest.json ]
  kill -TERM "$holder"
  eventually 60 grep -q client_left a.out
  partly=$(jq -s 'map(select(.kind == "client_left"))[0].sent_bytes' a.out)
  serve b
  expect 0 fetch --from "$(here b)" --dir copy --json
  expect 0 ptrain-ckpt verify --data copy/latest
  # Sent before and after, less what there is: what was on its way when the fetch died.
  (($(field .fetched_bytes) + partly - total <= 12 * 1024 * 1024))
}

@test "SIGTERM leaves what has come, with 143 and a word" {
  serve a
  ptrain-ckpt fetch --from "$(here a)" --dir copy --rate 1MB 2>fetch.err 3>&- &
  local fetching=$! code=0
  eventually 60 test -e copy/step-00000003
  kill -TERM "$fetching"
  wait "$fetching" || code=$?
  [ "$code" = 143 ]
  grep -q "the same command goes on" fetch.err
}

@test "another checkpoint of the same step is not written over" {
  serve a
  mkdir -p copy
  cp -r "$(realpath source)/step-00000002" copy/step-00000003
  expect 0 fetch --from "$(here a)" --dir copy 3  # a manifest that is another step's is none
  tiny_data "$PWD"
  train 1 --set train.steps=3 --set optim.warmup_steps=1 >/dev/null
  expect 2 fetch --from "$(here a)" --dir out/ckpt 3
  says "holds checkpoint"
}

@test "keys decide who may fetch, and a refused host learns what to ask for" {
  local key server
  key=$(ptrain-stage identity --key mine)
  expect 2 ptrain-ckpt serve --dir source --listen tcp://0.0.0.0:0
  says "none of --admit, --anyone and --ticket"
  ptrain-ckpt serve --dir source --listen tcp://127.0.0.1:0 --admit "$key" --key theirs >s.out 2>s.err 3>&- &
  eventually 60 test -s s.out
  server=$(<s.out)
  [[ $server == tcp://127.0.0.1:*#* ]]
  expect 77 fetch --from "$server" --dir copy --key stranger
  says "--admit $(ptrain-stage identity --key stranger)"
  expect 0 fetch --from "$server" --dir copy --key mine 1
  expect 0 ptrain-ckpt verify --data copy/1
}

@test "one client too many is told where else to go" {
  serve a --clients 1 --also tcp://10.0.0.7:7000
  ptrain-ckpt fetch --from "$(here a)" --dir first --rate 500kB 2>/dev/null 3>&- &
  eventually 60 test -e first/step-00000003
  expect 75 fetch --from "$(here a)" --dir second
  says "tcp://10.0.0.7:7000"
}

@test "a holder that does not answer is named" {
  expect 69 fetch --from "$(here nobody)" --dir copy --timeout 0.5
  says "$(here nobody)"
}

@test "a holder ends on SIGTERM and the fetch with it" {
  serve a
  ptrain-ckpt fetch --from "$(here a)" --dir copy --rate 1MB --timeout 5 2>fetch.err 3>&- &
  local fetching=$! code=0
  eventually 60 test -e copy/step-00000003
  kill -TERM "$holder"
  wait "$holder" || code=$?
  [ "$code" = 143 ]
  code=0
  wait "$fetching" || code=$?
  [ "$code" = 69 ]
  grep -q "did not answer within 5 s" fetch.err
}

@test "replicate keeps the newest, waits for its holder, and keeps as many as it is told" {
  mkdir growing
  cp -r source/step-00000001 growing/
  ptrain-ckpt replicate --from "$(here a)" --dir copy --keep-last 1 --interval 0.2 --timeout 1 \
    --json >replicate.out 2>replicate.err 3>&- &
  local replicating=$! code=0
  eventually 60 grep -q "did not answer" replicate.err
  ptrain-ckpt serve --dir growing --listen "$(here a)" >a.out 2>a.err 3>&- &
  eventually 60 grep -q '"step":1' replicate.out
  cp -r source/step-00000002 growing/.coming
  mv growing/.coming growing/step-00000002
  eventually 60 grep -q '"step":2' replicate.out
  gone() { [ ! -e copy/step-00000001 ]; }
  eventually 60 gone
  kill -TERM "$replicating"
  wait "$replicating" || code=$?
  [ "$code" = 143 ]
  expect 0 ptrain-ckpt verify --data copy/latest
}
