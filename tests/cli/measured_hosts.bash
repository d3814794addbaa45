# Files of three hosts as ptrain-probe plan reads them: east and west near each other, attic far away
# and slow. SHAPE is a JSON object of the job's keys; other arguments replace what stands here.
# shellcheck shell=bash

# links_of TIME: east and west have 40 MB/s and 10 ms, attic has 1 MB/s and 80 ms
links_of() {
  cat <<JSON
{"kind": "links", "version": 1, "time_s": $1,
 "hosts": [
  {"name": "east", "site": "town", "out_bytes_per_s": 4e7, "in_bytes_per_s": 8e7},
  {"name": "west", "site": "town", "out_bytes_per_s": 4e7, "in_bytes_per_s": 8e7},
  {"name": "attic", "out_bytes_per_s": 1e6, "in_bytes_per_s": 4e6}],
 "sites": [{"from": "town", "to": "attic", "round_trip_s": 0.08}],
 "pairs": [
  {"from": "east", "to": "west", "round_trip_s": 0.01, "rate_bytes_per_s": 4e7},
  {"from": "west", "to": "east", "rate_bytes_per_s": 4e7}]}
JSON
}

# compute_of NAME SECONDS TIME SHAPE [FREE_BYTES [NUMERICS]]: a line; SECONDS for the forward of a block
compute_of() {
  jq -nc --arg name "$1" --argjson s "$2" --argjson time "$3" --argjson shape "$4" \
    --argjson free "${5:-8000000000}" --arg numerics "${6:-avx512}" '
    {kind: "compute", version: 1, time_s: $time, host: $name, numerics: $numerics, cores: 4,
     memory_bytes: 16000000000, free_bytes: $free, program_bytes: 100000000, shape: $shape,
     blocks: [("embedding", "attention", "mlp", "head") as $block | (1, 2) as $micro |
       {block: $block, micro: $micro, forward_s: ($s * $micro), input_s: ($s * $micro),
        weight_s: ($s * $micro), update_s: $s, kept_bytes: (1000000 * $micro), deferred_bytes: 0}],
     codecs: [("fp32", "bf16", "int8") as $codec |
       {codec: $codec, encode_bytes_per_s: 1e10, decode_bytes_per_s: 1e10}]}'
}

# measured_hosts SHAPE: links.json and compute.jsonl, measured just now
measured_hosts() {
  local now
  now=$(date +%s)
  links_of "$now" >links.json
  {
    compute_of east 0.02 "$now" "$1"
    compute_of west 0.02 "$now" "$1"
    compute_of attic 0.08 "$now" "$1"
  } >compute.jsonl
}
