#!/usr/bin/env bats
# Sections of the README as they are written there, line by line: on one machine, and on hosts of the
# laboratory, where some are behind routers that let nothing in. Only the model is smaller.
# shellcheck disable=SC2154,SC2016  # bats sets status, output and stderr; ` and $ are for others

load ../cli/helper
load ../cli/tiny_job

setup() { cd "$BATS_TEST_TMPDIR" || return; }

section() { sed -n "/^## $1\$/,/^## /p" "$ROOT/README.md"; }

# readme SECTION PATTERN: the commands of that section that begin so, without what is said of them
readme() { section "$1" | sed -n 's/ *# on the .*//; s/^    //p' | grep "^$2"; }

# The job of the README, with a model that trains in seconds.
small_job() {
  section "A job of one's own" | sed -n '/^```toml/,/^```/{//!p}' |
    sed 's/^hidden_size = .*/hidden_size = 32/; s/^intermediate_size = .*/intermediate_size = 64/
      s/^num_attention_heads = .*/num_attention_heads = 4/; s/^seq_len = .*/seq_len = 32/' >my.toml
  [ "$(grep -cE '= (32|64|4)$' my.toml)" -eq 6 ] || { cat my.toml; return 1; }  # with the batch's two
}

# machines NAME...: folders, each with job and data
machines() {
  local machine
  tiny_data "$PWD"
  mv job.toml my.toml
  for machine in "$@"; do
    mkdir "$machine"
    cp -r data my.toml "$machine"
  done
}

# What the scripts begin with. machine NAME HOST COMMAND: in its folder, with its names and a home of
# its own. They run in the laboratory, and end with the script.
cat_machine() {
  cat <<'SCRIPT'
set -euo pipefail
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
machine() {
  mkdir -p "$1-home"
  on "$2" setpriv --pdeathsig KILL unshare --mount bash -c '
    mount --bind "$1.hosts" /etc/hosts
    export HOME=$PWD/$1-home; unset XDG_CONFIG_HOME
    cd "$1" && eval "exec $2"' - "$1" "$3"
}
SCRIPT
}

# As Debian leaves it, a host's own name is its own loopback's.
names() {
  printf '127.0.0.1 localhost\n'
  if [[ $1 == one ]]; then printf '127.0.1.1 one.example.net\n'; else printf '%s one.example.net\n' "$2"; fi
}

@test "a job of one's own" {
  small_job
  head -c 60000 "$RECIPES/corpus/alice.txt" >book.txt
  ln -s "$RECIPES" recipes
  readme "A job of one's own" '[p.]' >recipe
  [ "$(grep -c . recipe)" -eq 4 ] || { cat recipe; return 1; }
  local line
  while IFS= read -r line; do expect 0 bash -c "$line" </dev/null; done <recipe
  [[ $output == "Once upon a time"* ]] || { show_output; return 1; }  # the last line's
  [ -s loss.png ]
}

@test "over two machines, to the whole model on one of them" {
  machines one two
  local section="Over two machines"
  { readme "$section" 'ptrain-stage identity'; readme "$section" 'tcp://'
    readme "$section" 'ptrain-stage run'
    readme "Your model, together" 'ptrain-'; } >recipe
  [ "$(grep -c . recipe)" -eq 9 ] || { cat recipe; return 1; }
  { cat_machine; cat <<'SCRIPT'; } >script
keys=(); mapfile -t lines <recipe
keys[0]=$(machine one p1 "${lines[0]}")
keys[1]=$(machine two h1 "${lines[0]}")
{
  echo "${lines[1]/PUBLIC-KEY-OF-ONE/${keys[0]}}"
  echo "${lines[2]/PUBLIC-KEY-OF-TWO/${keys[1]}}"
} | tee one/endpoints two/endpoints
machine two h1 "${lines[4]} --threads 1" 2>two.said &
machine one p1 "${lines[3]} --threads 1 --json" >one.printed 2>one.said
wait "$!"
machine one p1 "${lines[5]/PUBLIC-KEY-OF-TWO/${keys[1]}}" >one.holds &
until [[ -s one.holds ]]; do sleep 0.1; done
machine two h1 "${lines[6]/PUBLIC-KEY-OF-ONE/${keys[0]}}"
machine two h1 "${lines[7]}"
SCRIPT
  names one 11.0.0.11 >one.hosts
  names two 11.0.0.11 >two.hosts
  expect 0 "$RECIPES/lab/lab.sh" --hosts 1 --public 1 -- bash ./script
  jq -es 'last | .kind == "done" and .steps == 20' <<<"$(grep '^{' one.printed)"
  [[ $output == *"Once upon a time"* ]] || { show_output; return 1; }
  [ -f one/ckpt/step-00000020/manifest.json ]
  [ -f two/ckpt/step-00000020/manifest.json ]
  grep -q 'one.example.net is 127.0.1.1 here, where no other host comes in: listening at all' one.said
  run ! grep -q listening two.said  # nobody dials it
}

@test "behind home routers, to the whole model on one host" {
  machines relay alice bob carol
  readme "Behind home routers" 'ptrain-' >recipe
  [ "$(grep -c . recipe)" -eq 6 ] || { cat recipe; return 1; }
  printf '127.0.0.1 localhost relay.example.net\n' >relay.hosts
  local name
  for name in alice bob carol; do printf '%s relay.example.net\n' 11.0.0.11 >"$name.hosts"; done
  { cat_machine; cat <<'SCRIPT'; } >script
mapfile -t lines <recipe
serve=${lines[0]} ticket=${lines[1]} train=${lines[2]} hold=${lines[3]} fetch=${lines[4]} write=${lines[5]}
machine relay p1 "$serve" >word &
until [[ -s word ]]; do sleep 0.1; done
[[ $ticket == *"'tcp://relay.example.net:7100#KEY,data=7101'"* ]]
machine relay p1 "${ticket/"'tcp://relay.example.net:7100#KEY,data=7101'"/"'$(<word)'"}"
for name in alice bob carol; do cp relay/alice.ticket "$name/"; done
machine bob h2 "${train/--stage 0/--stage 1} --threads 1" 2>bob.said &
bob=$!
machine carol h3 "${train/--stage 0/--stage 2} --threads 1" 2>carol.said &
carol=$!
machine alice h1 "$train --threads 1" 2>alice.said
wait "$bob" && wait "$carol"
machine bob h2 "$hold" >bob.holds &
machine carol h3 "$hold" >carol.holds &
until [[ -s bob.holds && -s carol.holds ]]; do sleep 0.1; done
machine alice h1 "$fetch"
machine alice h1 "$write"
SCRIPT
  expect 0 "$RECIPES/lab/lab.sh" --hosts 3 --public 1 -- bash ./script
  [[ $output == *"Once upon a time"* ]] || { show_output; cat ./*.said; return 1; }
  [[ $(<word) == tcp://relay.example.net:7100#*,data=7101 ]]
  [ -f alice/ckpt/step-00000020/stage-02.model.safetensors ]
  expect 0 ptrain-ckpt verify --dir alice/ckpt --data
}
