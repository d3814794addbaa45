#!/usr/bin/env bats
# recipes/worker.sh: what it starts again, and a run that goes on though its stages are killed.
# shellcheck disable=SC2154  # bats sets status, output and stderr

load helper
load tiny_job

setup() { cd "$BATS_TEST_TMPDIR" || return; }

teardown() {
  local pid
  for pid in $(jobs -p); do kill "$pid" 2>/dev/null || true; done
  wait
}

# A program that ends each time as the next word of the file "ends" says, and then well.
stand_in() {
  cat >program <<'PROGRAM'
#!/usr/bin/env bash
echo begun >>begun
read -r end <ends || exit 0
sed -i 1d ends
case $end in SIG*) kill -s "$end" $$ ;; *) exit "$end" ;; esac
PROGRAM
  chmod +x program
  printf '%s\n' "$@" >ends
  rm -f begun
}

@test "what another attempt may mend is begun again, until it is done" {
  stand_in 69 75 SIGKILL 74
  expect 0 "$RECIPES/worker.sh" --most-pause 1 -- ./program
  [ "$(wc -l <begun)" = 5 ]
  says "ended with 69: somebody that it needs is not there"
  says "ended with SIGKILL"
}

@test "what another attempt would repeat ends it, with the same code" {
  local code
  for code in 1 2 65 77 143; do
    stand_in "$code"
    expect "$code" "$RECIPES/worker.sh" -- ./program
    [ "$(wc -l <begun)" = 1 ]
  done
  stand_in 74 74 74
  expect 74 "$RECIPES/worker.sh" --tries 2 --most-pause 1 -- ./program
  [ "$(wc -l <begun)" = 2 ]
  says "it has ended 2 times in a row within 60 s"
}

@test "a command that is none, and options that are none, are refused" {
  expect 69 "$RECIPES/worker.sh" -- nosuch
  says "nosuch is not there, or cannot be run"
  expect 2 "$RECIPES/worker.sh" ptrain-stage
  expect 2 "$RECIPES/worker.sh" --
  expect 2 "$RECIPES/worker.sh" --most-pause 0 -- true
  expect 2 "$RECIPES/worker.sh" --unit 'a b' -- true
}

@test "what tells it to end goes to the program, also between two attempts" {
  local worker
  "$RECIPES/worker.sh" -- bash -c 'trap "touch told; exit 143" TERM; touch begun; while :; do sleep 0.1; done' 3>&- &
  worker=$!
  eventually 20 test -e begun
  kill "$worker"
  ends_with 143 "$worker"
  test -e told

  "$RECIPES/worker.sh" -- bash -c 'touch again; exit 69' 2>said 3>&- &
  worker=$!
  eventually 20 grep -q 'again in 4 s' said
  kill "$worker"
  ends_with 143 "$worker"
}

ends_with() {  # ends_with CODE PID
  local code=0
  wait "$2" || code=$?
  [ "$code" = "$1" ]
}

@test "its unit starts the same command from the same folder, whatever its words are" {
  mkdir "it's 100%"
  cd "it's 100%"
  # shellcheck disable=SC2016  # words, not variables
  expect 0 "$RECIPES/worker.sh" --unit some --tries 3 -- printf '%s\n' '$HOME' 'a "b"' 'c\d'
  printf '%s\n' "$output" >../ptrain-some.service
  grep -qxF "ExecStart=\"$RECIPES/worker.sh\" \"--most-pause\" \"60\" \"--tries\" \"3\" \"--\" \"$(type -P printf)\" \"%%s\\\\n\" \"\$\$HOME\" \"a \\\"b\\\"\" \"c\\\\d\"" ../ptrain-some.service
  grep -qxF "WorkingDirectory=$BATS_TEST_TMPDIR/it's 100%%" ../ptrain-some.service
  if command -v systemd-analyze; then
    expect 0 systemd-analyze verify --man=no ../ptrain-some.service
    [ -z "$stderr" ] || { show_output; return 1; }
  fi
}

# under I [OPTION]...: stage I in the background under a worker.sh, whose pid is in workers[I]
under() {
  "$RECIPES/worker.sh" --most-pause 1 -- ptrain-stage run --job job.toml --ticket ticket --stages 2 \
    --stage "$1" --key "key-$1" --threads 1 --json --set train.steps=1000 --set checkpoint.every=50 \
    --set checkpoint.dir=ckpt "${@:2}" >"out-$1" 2>"err-$1" 3>&- &
  workers[$1]=$!
}

@test "stages that are killed again and again end with the weights of a calm run" {
  local calm i step
  workers=()
  tiny_data "$PWD"
  calm=$(weights 2 --set train.steps=1000)
  ptrain-relay serve --state relay --listen tcp://127.0.0.1:0 --data 0 >relay.out 2>relay.err 3>&- &
  eventually 60 test -s relay.out
  ptrain-relay ticket new --run alice --relay "$(<relay.out)" -o ticket
  under 0 --metrics metrics
  under 1
  for step in 100 400 700; do  # stage 1, 0 and 1
    i=$((step / 100 % 2))
    eventually 240 steps_done metrics "$step" || { cat err-0 err-1; return 1; }
    pkill -KILL -P "${workers[i]}"
  done
  ends_with 0 "${workers[0]}" || { cat err-0; return 1; }
  ends_with 0 "${workers[1]}" || { cat err-1; return 1; }
  grep -q 'ended with SIGKILL' err-1 || { cat err-0 err-1; return 1; }
  [ "$(tail -n 1 out-0 | jq -r .weights_sha256)" = "$calm" ] || { cat out-0; return 1; }
}
