# A job that trains in a second, its data, and words to run it: what the tests of training share.
# shellcheck shell=bash disable=SC2034,SC2154

# tiny_data FOLDER: shards of a part of the corpus, and job.toml
tiny_data() {
  head -c 60000 "$ROOT/recipes/corpus/alice.txt" >"$1/text"
  ptrain-data encode --tokenizer bytes --val-fraction 0.1 --out "$1/data" "$1/text" >/dev/null
  cat >"$1/job.toml" <<'TOML'
[model]
vocab_size = 256
hidden_size = 32
intermediate_size = 64
num_hidden_layers = 4
num_attention_heads = 4
num_key_value_heads = 2

[data]
train = "data/train_*.bin"
val = "data/val_*.bin"
seq_len = 32

[batch]
global = 8
micro = 2

[train]
steps = 20
seed = 5

[optim]
lr = 3e-3
warmup_steps = 4

[eval]
sequences = 16
TOML
}

BF16=(--set precision.compute=bfloat16)

# train STAGES [OPTION]...: trains job.toml into out/, anew, and prints the final record
train() {
  local stages=$1
  shift
  rm -rf out
  "$RECIPES/pipeline.sh" --job job.toml --stages "$stages" --out out --threads 1 --json "$@"
}

# weights STAGES [OPTION]...: the hash of what train leaves
weights() {
  local record hash
  record=$(train "$@") || return
  hash=$(jq -er .weights_sha256 <<<"$record") || return
  [[ $hash =~ ^[0-9a-f]{64}$ ]] || { echo "no hash: $record"; return 1; }
  printf '%s\n' "$hash"
}

# endpoints N: a file of that many sockets in this folder
endpoints() {
  local i
  for ((i = 0; i < $1; i++)); do printf 'ipc://%s/s%d\n' "$PWD" "$i"; done >endpoints
}

# stage I [OPTION]...: one stage of job.toml over the sockets in ./endpoints. The shell becomes
# the stage, so that in the background $! is the process to signal: use it with & or expect.
stage() {
  local i=$1
  shift
  exec ptrain-stage run --job job.toml --endpoints endpoints --stage "$i" --threads 1 "$@"
}

# over_proxy [OPTION]...: both stages of job.toml in the background, as $first and $second, whose only
# way to each other leads through $proxy; stage 0 writes ./metrics. They have begun a second save where
# they save every 20 steps, so the first one has ended.
over_proxy() {
  : >printed
  ptrain-stage run --job job.toml --threads 1 --listen tcp://127.0.0.1:0 --peer 1=tcp://127.0.0.1:1 \
    --metrics metrics "$@" >printed 2>said 3>&- &
  first=$!
  eventually 180 grep -q tcp: printed
  proxy_port=$((20000 + RANDOM % 10000))
  start_proxy
  ptrain-stage run --job job.toml --threads 1 --stage 1 --peer "0=tcp://127.0.0.1:$proxy_port" \
    "$@" >/dev/null 2>said-1 3>&- &
  second=$!
  eventually 180 steps_done metrics 45
}

# The forks that carry the connections are of its group, and end with it.
start_proxy() {
  setsid socat "TCP-LISTEN:$proxy_port,bind=127.0.0.1,reuseaddr,fork" \
    "TCP:127.0.0.1:$(grep -o '[0-9]*$' printed)" 2>/dev/null 3>&- &
  proxy=$!
}
stop_proxy() {
  kill -KILL -- "-$proxy"
  wait "$proxy" 2>/dev/null || true
}

# steps_done FILE N: the metrics in FILE have come to step N
steps_done() { [[ -f $1 ]] && jq -es "any(.[]; .step >= $2)" "$1" >/dev/null 2>&1; }
