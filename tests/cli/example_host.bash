# What stands around the examples of the manual: a host that is one.example.net, two.example.net and
# relay.example.net as well, with nobody else on its network, and the folder of somebody who has
# trained a little. tests/cli/man_examples.bats uses it.
# shellcheck shell=bash

# example_world FOLDER: recipes, with a job that takes a second where the quickstart takes minutes;
# texts, shards, and a run of two steps.
example_world() {
  mkdir -p "$1/home"
  cp -a "$RECIPES" "$1/recipes"
  (
    cd "$1" || return
    sed -i -e 's/^hidden_size = .*/hidden_size = 24/' -e 's/^intermediate_size = .*/intermediate_size = 32/' \
      -e 's/^num_hidden_layers = .*/num_hidden_layers = 4/' -e 's/^num_attention_heads = .*/num_attention_heads = 2/' \
      -e 's/^global = 4/global = 2/' -e 's/^steps = .*/steps = 4/' -e 's/^warmup_steps = .*/warmup_steps = 1/' \
      -e '/^\[eval\]/a sequences = 4' recipes/jobs/quickstart.toml
    head -c 40000 recipes/corpus/alice.txt >alice.txt
    head -c 40000 recipes/corpus/paradise-lost.txt >book.txt
    cp recipes/jobs/quickstart.toml job.toml
    ptrain-data encode --tokenizer bytes --val-fraction 0.1 --out data alice.txt >encoded
    ptrain-stage run --job job.toml --set train.steps=2 --set checkpoint.every=1 \
      --set checkpoint.dir=run/ckpt >trained 2>&1
  )
}

# on_example_host SCRIPT: runs it with bash, in this folder, on that host. What it leaves behind in
# the background is ended.
on_example_host() {
  local -a namespaces=(--net --mount --pid --fork --kill-child --mount-proc)
  if ((EUID != 0)); then namespaces+=(--map-root-user); fi
  printf '127.0.0.1 localhost %s\n' "$(printf '%s.example.net ' one two relay east west home)" >hosts
  export HOME=$PWD/home OMP_NUM_THREADS=1
  unset XDG_CONFIG_HOME
  # shellcheck disable=SC2016  # bash's own
  unshare "${namespaces[@]}" bash -eu -c '
    ip link set lo up
    mount --bind hosts /etc/hosts
    . "$1"
    . "$2"' bash "$BATS_TEST_DIRNAME/example_commands.bash" "$1"
}

# runnable: of examples on standard input, the words for which a person puts something else become
# that; what goes on for ever is ended when it has begun; of two hosts one works in the background.
runnable() {
  # shellcheck disable=SC2016  # the examples' own words
  sed -E -e ':joined; /\\$/ { N; s/\\\n[[:blank:]]*/ /; b joined }' \
    -e 's/KEY-OF-(ONE|TWO)|\bKEY\b/$KEY/g' -e 's/--relay WORD/--relay "$WORD"/' \
    -e 's/^ptrain-relay ticket revoke .*\$KEY/member; &_OF_ANOTHER/' \
    -e 's/--issuer FILE/--issuer alice.ticket.issuer/' \
    -e 's/^(ptrain-stage run .*--stage 0) +# on .*/\1 \&/' -e 's/ +# on .*//' \
    -e 's/^ptrain-(relay serve|probe serve|ckpt (serve|replicate)|punch map) [^&]*$/served &/' \
    -e 's/^ptrain-punch listen .*/in_a_run; served &/; s/^ptrain-punch dial .*/in_a_run; listener; &/' \
    -e 's/step-00001200|\b1200\b/2/; s/^cd ckpt\/2$/cd ckpt\/step-00000002/' \
    -e 's|/var/lib/ptrain-relay|relay-of-one-run|'
}
