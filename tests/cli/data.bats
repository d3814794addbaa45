#!/usr/bin/env bats
# ptrain-data from outside: what it prints, what it writes, and how it refuses.

load helper

CORPUS=$ROOT/recipes/corpus

setup() { cd "$BATS_TEST_TMPDIR" || return; }

# overwrite FILE OFFSET BYTES: BYTES is printf's format.
overwrite() {
  # shellcheck disable=SC2059  # the bytes are the format
  printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# holds_only FOLDER NAME...: these files and no other, hidden ones included.
holds_only() {
  local folder=$1
  shift
  [[ $(ls -A "$folder") == "$(printf '%s\n' "$@" | sort)" ]] || { ls -lA "$folder"; return 1; }
}

@test "the three texts come back from bytes unchanged" {
  local text
  for text in "$CORPUS"/*.txt; do
    expect 0 ptrain-data encode --out "$(basename "$text")" "$text"
    ptrain-data decode "$(basename "$text")/train_000000.bin" >back
    cmp back "$text"
  done
}

@test "random bytes come back, from several shards, through a pipe" {
  head -c 3000000 /dev/urandom >random
  expect 0 ptrain-data encode --shard-tokens 1000001 --out shards - <random
  holds_only shards train_000000.bin train_000001.bin train_000002.bin
  ptrain-data decode - < <(cat shards/train_000000.bin) >decoded
  ptrain-data decode shards/train_000001.bin >>decoded
  ptrain-data decode shards/train_000002.bin >>decoded
  cmp decoded random
}

@test "the validation split is the end of each text" {
  printf 'aaaaaaaaaA' >a.txt
  printf 'bbbbbbbbbbbbbbbbbbBB' >b.txt
  expect 0 ptrain-data encode --val-fraction 0.1 --out shards a.txt b.txt
  prints shards/train_000000.bin
  prints shards/val_000000.bin
  [[ $(ptrain-data decode shards/train_000000.bin) == aaaaaaaaabbbbbbbbbbbbbbbbbb ]]
  [[ $(ptrain-data decode shards/val_000000.bin) == ABB ]]
  expect 0 ptrain-data encode --val-fraction 0.1 --out piped - < <(cat b.txt)
  [[ $(ptrain-data decode piped/val_000000.bin) == BB ]]
  holds_only piped train_000000.bin val_000000.bin
}

@test "the last tenth of the corpus is what quickstart evaluates" {
  expect 0 ptrain-data encode --json --val-fraction 0.1 --out shards "$CORPUS"/*.txt
  jq -e '.train_tokens == 657194 and .val_tokens == 73020 and .text_bytes == 730214
         and .tokenizer == "bytes" and .vocab_size == 256 and (.shards | length == 2)' <<<"$output"
}

@test "a shard's 16-bit layout is that of llm.c" {
  printf 'AB' >text
  expect 0 ptrain-data encode --out shards text
  [[ $(od -An -v -t d4 -N 12 shards/train_000000.bin | xargs) == "20240520 1 2" ]]
  [[ $(od -An -v -t u2 -j 1024 shards/train_000000.bin | xargs) == "65 66" ]]
  expect 0 ptrain-data encode --width 32 --out wide text
  [[ $(od -An -v -t d4 -N 12 wide/train_000000.bin | xargs) == "20240801 7 2" ]]
  [[ $(od -An -v -t u4 -j 1024 wide/train_000000.bin | xargs) == "65 66" ]]
}

@test "info agrees with the file" {
  printf 'hello' >text
  expect 0 ptrain-data encode --out shards text
  expect 0 ptrain-data info shards/train_000000.bin
  prints "5 tokens of 16 bits, largest 111, 1034 bytes"
  prints "$(sha256sum shards/train_000000.bin | cut -d ' ' -f 1)"
  expect 0 ptrain-data info --json shards/train_000000.bin shards/train_000000.bin
  [[ ${#lines[@]} -eq 2 ]]
  jq -e '.tokens == 5 and .token_bits == 16 and .largest_token == 111 and .size_bytes == 1034
         and .magic == 20240520 and .version == 1' <<<"${lines[0]}"
}

@test "decode takes a part" {
  printf '0123456789' >text
  expect 0 ptrain-data encode --out shards text
  expect 0 ptrain-data decode shards/train_000000.bin --begin 3 --count 4
  [[ $output == 3456 ]]
  expect 0 ptrain-data decode shards/train_000000.bin --begin 8 --count 100
  [[ $output == 89 ]]
  expect 0 ptrain-data decode shards/train_000000.bin --begin 10
  [[ -z $output ]]
  expect 2 ptrain-data decode shards/train_000000.bin --begin 11
  says "--begin 11"
  says "has 10 tokens"
}

@test "a trained tokenizer gives the texts back, and is the same every time" {
  expect 0 ptrain-data train-tokenizer --vocab 1024 --out one "$CORPUS"/*.txt
  [[ $output == one.model ]]
  expect 0 ptrain-data train-tokenizer --vocab 1024 --out two --json "$CORPUS"/*.txt
  jq -e '.vocab_size == 1024 and .path == "two.model"' <<<"$output"
  cmp one.model two.model
  expect 0 ptrain-data encode --tokenizer one.model --json --val-fraction 0.1 --out shards "$CORPUS"/*.txt
  jq -e '.vocab_size == 1024 and .train_tokens < 657194 / 2' <<<"$output"
  local text
  for text in "$CORPUS"/*.txt; do
    ptrain-data encode --tokenizer one.model --val-fraction 0.3 --out split --replace "$text"
    ptrain-data decode --tokenizer one.model split/train_000000.bin >back
    ptrain-data decode --tokenizer one.model split/val_000000.bin >>back
    cmp back "$text"
  done
}

@test "a module of another build is refused, not entered" {
  mkdir -p bin lib/ptrain
  cp "$(command -v ptrain-data)" bin/
  expect 74 bin/ptrain-data encode --tokenizer any.model --out data text
  says "install ptrain as a whole"
  echo 'int ptrain_sentencepiece_0123456789ab;' | c++ -x c++ -shared -fPIC -o lib/ptrain/sentencepiece.so -
  expect 74 bin/ptrain-data encode --tokenizer any.model --out data text
  says "sentencepiece.so: it is of another build than $PWD/bin/ptrain-data"
}

@test "text in another encoding is refused by a model, with its place" {
  expect 0 ptrain-data train-tokenizer --vocab 1024 --out model "$CORPUS/alice.txt"
  printf 'caf\xe9\n' >latin1
  expect 65 ptrain-data encode --tokenizer model.model --out shards latin1
  says "latin1: byte 0xe9 at offset 3 is not UTF-8"
  says "hint: convert the text to UTF-8"
  holds_only shards ''
  expect 65 ptrain-data train-tokenizer --vocab 1024 --out again latin1
  says "latin1: byte 0xe9 at offset 3"
  [[ ! -e again.model ]]
}

@test "shards that are not valid are refused with path, offset and value" {
  printf 'hello' >text
  expect 0 ptrain-data encode --out shards text
  local shard=shards/train_000000.bin
  cp $shard magic.bin && overwrite magic.bin 0 '\003\000\000\000'
  cp $shard version.bin && overwrite version.bin 4 '\007'
  cp $shard negative.bin && overwrite negative.bin 11 '\377'
  head -c 1033 $shard >short.bin
  head -c 1000 $shard >header.bin
  (cat $shard; printf x) >long.bin
  local command
  for command in info decode; do
    expect 65 ptrain-data $command magic.bin
    says "magic.bin: magic 3 at offset 0, expected 20240520 or 20240801"
    says "hint: encode the text again"
    expect 65 ptrain-data $command version.bin
    says "version.bin: version 7 at offset 4, expected 1"
    expect 65 ptrain-data $command negative.bin
    says "negative.bin: token count -16777211 at offset 8 is negative"
    expect 65 ptrain-data $command short.bin
    says "short.bin: 1033 bytes, but its 5 tokens (offset 8) of 2 bytes need 1034"
    expect 65 ptrain-data $command header.bin
    says "header.bin: 1000 bytes"
    expect 65 ptrain-data $command long.bin
    says "long.bin: 1035 bytes"
    expect 74 ptrain-data $command absent.bin
    says "open absent.bin: No such file or directory"
  done
  expect 65 ptrain-data decode - <short.bin
  says "standard input: 1033 bytes"
  expect 65 ptrain-data decode - <long.bin
}

@test "a token beyond the vocabulary is named when it is decoded" {
  printf 'hello' >text
  expect 0 ptrain-data encode --out shards text
  overwrite shards/train_000000.bin 1031 '\001'
  expect 65 ptrain-data decode shards/train_000000.bin
  says "token 364 at index 3 is not below 256"
}

@test "an older data set is refused, and replaced on request" {
  printf 'older text' >older
  printf 'newer' >newer
  expect 0 ptrain-data encode --shard-tokens 5 --out shards older
  expect 2 ptrain-data encode --out shards newer
  says "shards holds token shards already (train_000000.bin)"
  says "--replace"
  holds_only shards train_000000.bin train_000001.bin
  expect 0 ptrain-data encode --replace --out shards newer
  holds_only shards train_000000.bin
  [[ $(ptrain-data decode shards/train_000000.bin) == newer ]]
}

@test "options that make no sense are refused with what is allowed" {
  printf 'text' >text
  expect 2 ptrain-data
  expect 2 ptrain-data encode --out shards
  expect 2 ptrain-data encode text
  expect 2 ptrain-data encode --out shards --val-fraction 1 text
  says "must be at least 0 and below 1"
  expect 2 ptrain-data encode --out shards --val-fraction=-0.1 text
  expect 2 ptrain-data encode --out shards --width 8 text
  says "16,32"
  expect 2 ptrain-data encode --out shards --shard-tokens 0 text
  expect 2 ptrain-data encode --out shards --shard-tokens 2147483648 text
  expect 2 ptrain-data train-tokenizer --out model --vocab 259 text
  expect 2 ptrain-data train-tokenizer --out model --vocab 100000 "$CORPUS/alice.txt"
  says "a vocabulary of 100000"
  [[ ! -e shards && ! -e model.model ]]
}

@test "texts that cannot be read are named, and no text at all is refused" {
  expect 74 ptrain-data encode --out shards absent
  says "open absent: No such file or directory"
  expect 74 ptrain-data encode --out shards .
  says "Is a directory"
  expect 65 ptrain-data encode --out shards /dev/null
  says "no text"
  expect 74 ptrain-data encode --tokenizer absent.model --out shards "$CORPUS/alice.txt"
  says "absent.model"
  expect 65 ptrain-data encode --tokenizer "$CORPUS/alice.txt" --out shards "$CORPUS/alice.txt"
  says "alice.txt: not a SentencePiece model"
}

@test "a full disk ends in 74 and leaves no shard" {
  # The limit on a file's size stands in for a disk: 512 blocks of 1024 bytes.
  # shellcheck disable=SC2016  # the inner shell's
  expect 74 bash -c 'trap "" XFSZ; ulimit -f 512; exec ptrain-data encode --out shards "$1"' \
    bash "$CORPUS/paradise-lost.txt"
  says "write shards/train_000000.bin: File too large"
  holds_only shards ''
  expect 0 ptrain-data encode --out whole "$CORPUS/alice.txt"
  expect 74 bash -c 'ptrain-data decode whole/train_000000.bin >/dev/full'
  says "No space left on device"
  expect 74 bash -c 'ptrain-data info whole/train_000000.bin >/dev/full'
}

@test "a signal ends encode at once and leaves no shard" {
  local signal
  for signal in INT TERM HUP; do
    # A text without end: what is written so far is thrown away.
    mkfifo "endless-$signal"
    yes 'all work and no play' >"endless-$signal" &
    local writer=$!
    # bash lets processes in the background ignore SIGINT.
    env --default-signal="$signal" \
      ptrain-data encode --shard-tokens 1000000 --out shards "endless-$signal" 2>said &
    local encoder=$!
    eventually 60 compgen -G 'shards/.tmp-*train_000001.bin' >/dev/null
    kill -s $signal $encoder
    local code=0
    wait $encoder || code=$?
    wait $writer || true
    [[ $code -eq $((128 + $(kill -l $signal))) ]]
    grep -q "SIG$signal: stopping" said
    holds_only shards ''
  done
}

@test "progress is for a terminal only" {
  expect 0 ptrain-data encode --out shards "$CORPUS/alice.txt"
  [[ -z $stderr ]]
}

@test "help has an example for every command" {
  expect 0 ptrain-data --help
  prints "Example:"
  local command
  for command in encode decode info train-tokenizer; do
    expect 0 ptrain-data $command --help
    prints "ptrain-data $command"
  done
  expect 0 ptrain-data --version
  prints "ptrain-data "
}
