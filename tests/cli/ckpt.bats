#!/usr/bin/env bats
# ptrain-ckpt's local commands, as a person uses them on what a run left.

load helper
load tiny_job

setup_file() {
  tiny_data "$BATS_FILE_TMPDIR"
  cd "$BATS_FILE_TMPDIR" || return
  ptrain-stage run --job job.toml --threads 1 --set checkpoint.every=5 --set checkpoint.dir=one >/dev/null
  ptrain-ckpt reshard one/latest --stages 2 --out two >/dev/null
}

# Each test has its own copy: steps 5, 10, 15 and 20 of one stage in one/, 20 of two in two/.
setup() {
  cd "$BATS_TEST_TMPDIR" || return
  cp -r "$BATS_FILE_TMPDIR"/{one,two,job.toml} .
  ln -s "$BATS_FILE_TMPDIR/data" data
}

# field NAME: of the JSON on stdout
field() { jq -er ".$1" <<<"$output"; }

# id CHECKPOINT
id() { ptrain-ckpt show --json "$1" | jq -ner 'first(inputs | select(.kind == "checkpoint")).id'; }

# flip FILE OFFSET: another byte there
flip() {
  local byte
  byte=$(od -An -tu1 -j "$2" -N 1 "$1")
  printf '%b' "\\x$(printf %x $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

last_byte() { echo $(($(stat -c %s "$1") - 1)); }

# --- ls, show ---

@test "ls says what is complete, partial and corrupt, and why" {
  rm one/step-00000010/manifest.json
  truncate -s 100 one/step-00000015/stage-00.optim.safetensors
  expect 0 ptrain-ckpt ls --dir one
  grep -E '^ +5  complete ' <<<"$output"
  grep -E '^ +10  partial .*no manifest' <<<"$output"
  grep -E '^ +15  corrupt .*stage-00.optim.safetensors has 100 bytes' <<<"$output"
  grep -E '^ +20  complete ' <<<"$output"
}

@test "ls --json has the documented fields, one object a step" {
  expect 0 ptrain-ckpt ls --dir one --json
  [ "$(wc -l <<<"$output")" -eq 4 ]
  jq -es 'all(.[]; .state == "complete" and .size_bytes > 600000 and .age_s >= 0 and .stages == 1
    and .held == [0] and (.id | length) == 64 and (.weights_sha256 | length) == 64)' <<<"$output"
  [ "$(jq -rs 'last.id' <<<"$output")" = "$(sha256sum one/step-00000020/manifest.json | cut -d' ' -f1)" ]
}

@test "a folder that is not there, or holds none, is a negative answer of every command" {
  local command
  mkdir empty
  for command in ls "gc --keep-last 1" verify "verify --all" "show latest" "export latest --hf hf" \
    "reshard latest --stages 2 --out two" "seal 5" "diff latest latest"; do
    # shellcheck disable=SC2086  # a command and its words
    expect 1 ptrain-ckpt $command --dir nowhere
    says "no folder nowhere"
    # shellcheck disable=SC2086
    expect 1 ptrain-ckpt $command --dir empty
    says "no checkpoints in empty"
  done
  expect 1 ptrain-ckpt merge latest nowhere --out whole
  says "no folder nowhere"
  expect 1 ptrain-ckpt merge latest empty --out whole
  says "no checkpoint in empty"
  expect 1 ptrain-ckpt show nowhere/latest
  says "no folder nowhere"
}

@test "a checkpoint is named by latest, step, folder, id and path" {
  local whole name
  whole=$(id one/latest)
  for name in 20 step-00000020 "${whole:0:8}" "$whole"; do
    [ "$(ptrain-ckpt show --dir one --json "$name" | jq -ner 'first(inputs).id')" = "$whole" ]
    [ "$(id "one/$name")" = "$whole" ]
  done
  [ "$(id one/step-00000020/)" = "$whole" ]
  expect 1 ptrain-ckpt show one/21
  says "no checkpoint 21 in one"
  expect 1 ptrain-ckpt show "one/${whole:0:7}"
}

@test "a folder is its newest checkpoint, and a run's folder as good as its ckpt" {
  local whole name
  mkdir run
  mv one run/ckpt
  whole=$(id run/ckpt/latest)
  for name in run run/ run/ckpt run/ckpt/ run/latest run/20 run/step-00000020 "run/$whole"; do
    [ "$(id "$name")" = "$whole" ]
  done
  [ "$(ptrain-ckpt show --dir run --json 20 | jq -ner 'first(inputs).id')" = "$whole" ]
  for name in run "--dir run" run/ckpt "--dir run/ckpt"; do
    # shellcheck disable=SC2086
    [ "$(ptrain-ckpt ls $name | wc -l)" -eq 4 ]
    # shellcheck disable=SC2086
    [ "$(ptrain-ckpt gc --keep-last 1 $name 2>/dev/null | wc -l)" -eq 4 ]
  done
  expect 0 ptrain-ckpt verify --all run two --json
  [ "$(wc -l <<<"$output")" -eq 5 ]
  expect 0 ptrain-ckpt diff run two
  mv run 20261129
  [ "$(id ./20261129)" = "$whole" ]
}

@test "show gives each tensor's place, which holds its bytes" {
  expect 0 ptrain-ckpt show two/latest:model.layers.3.mlp.up_proj.weight --json
  [ "$(field dtype)" = F32 ]
  [ "$(field shape | jq -c)" = '[64,32]' ]
  local begin end
  begin=$(field begin) end=$(field end)
  [ "$(tail -c +$((begin + 1)) "two/step-00000020/$(field file)" | head -c $((end - begin)) |
    sha256sum | cut -d' ' -f1)" = "$(field sha256)" ]
  expect 1 ptrain-ckpt show two/latest:nothing
  says "no tensor nothing"
}

# --- verify ---

@test "verify finds a flipped bit and names file, chunk, bytes and tensor" {
  local file=one/step-00000015/stage-00.model.safetensors
  expect 0 ptrain-ckpt verify --all --data --dir one
  flip "$file" "$(last_byte "$file")"
  expect 0 ptrain-ckpt verify one/15
  expect 65 ptrain-ckpt verify one/15 --data
  prints "stage-00.model.safetensors: chunk 0 (bytes 0 to "
  prints "lm_head.weight"
  expect 65 ptrain-ckpt verify --all --data --dir one --json
  jq -es 'map(.state) == ["complete", "complete", "corrupt", "complete"]' <<<"$output"
  jq -es '.[2].damage | length == 1 and .[0].chunk == 0 and .[0].begin == 0
    and (.[0].tensors | contains(["lm_head.weight"]))' <<<"$output"
}

@test "verify of a step that is not complete is a negative answer, of a bad manifest corrupt" {
  rm one/step-00000010/manifest.json
  expect 1 ptrain-ckpt verify one/10
  prints "no manifest.json"
  echo '{' >one/step-00000015/manifest.json
  expect 65 ptrain-ckpt verify one/15
  expect 1 ptrain-ckpt verify one/16
}

@test "verify without a step looks at the newest that claims to exist, and says when it is broken" {
  expect 0 ptrain-ckpt verify --dir one
  prints "one/step-00000020: complete"
  rm one/step-00000020/manifest.json
  expect 1 ptrain-ckpt verify --dir one
  prints "one/step-00000020: partial: no manifest.json"
  says "the newest complete one is step-00000015"
  expect 1 ptrain-ckpt verify one
  prints "one/step-00000020: partial"
  expect 0 ptrain-ckpt verify one/latest
  prints "one/step-00000015: complete"
  echo '{' >one/step-00000020/manifest.json
  expect 65 ptrain-ckpt verify --dir one
  prints "one/step-00000020: corrupt"
}

@test "verify --held is content with the stage that lies here" {
  rm two/step-00000020/stage-01.*
  expect 1 ptrain-ckpt verify two/20 --data
  prints "stage-01.model.safetensors: not here"
  expect 0 ptrain-ckpt verify two/20 --data --held --json
  jq -e '.state == "partial" and .held == [0] and (.missing | length) == 3' <<<"$output"
  flip two/step-00000020/stage-00.model.safetensors 9000
  expect 65 ptrain-ckpt verify two/20 --data --held
}

@test "the manual's check without ptrain agrees" {
  cd two/step-00000020 || return
  jq -r '.stages[] | .record, .model, .optim // empty, .tokenizer // empty | .sha256 + "  " + .name' manifest.json |
    sha256sum -c
}

# --- diff ---

@test "diff: equal over cuts, different over steps, and a tolerance" {
  expect 0 ptrain-ckpt diff one/20 two/20
  prints "0 not"
  expect 1 ptrain-ckpt diff one/15 one/20 --json
  jq -es 'last | .kind == "summary" and .same == false and .equal == 0' <<<"$output"
  jq -es 'map(select(.kind == "tensor")) | all(.largest_absolute > 0 and .same == false)' <<<"$output"
  expect 0 ptrain-ckpt diff one/15 one/20 --tolerance 1
  expect 1 ptrain-ckpt diff one/15 one/20 --tolerance 1e-6
  expect 1 ptrain-ckpt diff one/15 one/99
  expect 2 ptrain-ckpt diff one/15 one/20 --tolerance -1
}

# --- seal, merge ---

@test "seal gives the id that the run gave" {
  local before
  before=$(id two/20)
  rm two/step-00000020/manifest.json
  expect 0 ptrain-ckpt seal two/20 --json
  [ "$(field id)" = "$before" ]
  jq -e '.was_sealed == false' <<<"$output"
  expect 0 ptrain-ckpt seal two/20
  prints "as before"
}

@test "seal refuses records of two saves and says in what they differ" {
  rm two/step-00000020/manifest.json
  sed -i 's/"cursor":160/"cursor":161/' two/step-00000020/stage-01.record.json
  expect 65 ptrain-ckpt seal two/20
  says "cursor is 161 and 160"
  expect 1 ptrain-ckpt verify two/20
  rm two/step-00000020/stage-01.record.json
  expect 65 ptrain-ckpt seal two/20
  says "stage-01.record.json is missing"
}

# --- two hosts, each with its stage

apart() {
  local i
  for i in 0 1; do
    mkdir -p "host$i/step-00000020"
    cp two/step-00000020/stage-0"$i".* "host$i/step-00000020"
  done
}

@test "merge brings two hosts' stages together under the same id" {
  apart
  cp two/step-00000020/manifest.json host1/step-00000020
  expect 0 ptrain-ckpt merge 20 host0 host1 --out whole --json
  [ "$(field id)" = "$(id two/20)" ]
  diff -r two whole
  expect 0 ptrain-ckpt merge latest host1 host0 --out whole
}

@test "merge latest is the newest step that the folders hold between them" {
  apart
  cp -r host0/step-00000020 host0/step-00000025  # of another step, and of one stage
  expect 0 ptrain-ckpt merge latest host0 host1 --out whole --json
  [ "$(field step)" -eq 20 ]
  says "passed over step-00000025"
  [ "$(id whole)" = "$(id two/20)" ]
  rm -r host1 host0/step-00000025
  mkdir host1
  expect 65 ptrain-ckpt merge latest host0 host1 --out another
  says "stage 1 of 2"
}

# --- a host's share

@test "what a share is, and how the rest is fetched, is said by whoever needs the whole" {
  local words="host1 holds stage 1 of 2 of step 20; fetch the others with ptrain-ckpt fetch 20 --dir host1 --from ENDPOINT"
  apart
  cp two/step-00000020/manifest.json host1/step-00000020
  local command
  for command in "show host1" "export host1/latest --hf hf" "diff host1/20 one/20"; do
    # shellcheck disable=SC2086
    expect 1 ptrain-ckpt $command
    says "$words"
  done
  expect 1 ptrain-ckpt verify host1
  prints "1 of 2 stages sound here"
}

@test "merge names a stage that is nowhere, and damage" {
  apart
  expect 65 ptrain-ckpt merge 20 host0 --out whole
  says "stage 1 of 2"
  expect 1 ptrain-ckpt merge 21 host0 host1 --out whole
  flip host1/step-00000020/stage-01.optim.safetensors 9000
  expect 65 ptrain-ckpt merge 20 host0 host1 --out whole
  says "stage-01.optim.safetensors: chunk 0"
  expect 1 ptrain-ckpt verify whole/20
}

# --- reshard ---

@test "reshard 1 -> 4 -> 3 -> 2 -> 1 ends with the id that it began with, tied or not" {
  local from stages dir
  ptrain-stage run --job job.toml --threads 1 --set train.steps=4 --set checkpoint.dir=tied \
    --set model.tie_word_embeddings=true >/dev/null
  for dir in one tied; do
    from=$dir
    for stages in 4 3 2 1; do
      expect 0 ptrain-ckpt reshard "$from/latest" --stages "$stages" --out "$dir-$stages" --json
      [ "$(field stages)" -eq "$stages" ]
      expect 0 ptrain-ckpt verify "$dir-$stages/latest" --data
      from=$dir-$stages
    done
    [ "$(id "$dir-1/latest")" = "$(id "$dir/latest")" ]
  done
  expect 0 ptrain-ckpt reshard one/latest --layers 1,3 --out given
  expect 0 ptrain-ckpt diff one/latest given/latest
}

@test "reshard writes over nothing, and refuses cuts that do not fit" {
  expect 2 ptrain-ckpt reshard one/latest --stages 2 --out one
  says "is there already"
  expect 2 ptrain-ckpt reshard one/latest --stages 5 --out five
  expect 2 ptrain-ckpt reshard one/latest --layers 2,3 --out five
  says "5 layers, but the model has 4"
  expect 2 ptrain-ckpt reshard one/latest --out five
  [ ! -e five ]
}

@test "a run resumed on three stages from a resharded checkpoint ends as the one that went on" {
  local whole record
  whole=$(weights 1)
  rm -rf out
  mkdir -p out
  ptrain-ckpt reshard one/10 --stages 3 --out out/ckpt
  record=$("$RECIPES/pipeline.sh" --job job.toml --stages 3 --out out --threads 1 --json)
  [ "$(jq -r .weights_sha256 <<<"$record")" = "$whole" ]
  jq -es 'map(select(.kind == "step").step) == [range(11; 21)]' out/metrics.jsonl
}

# --- gc ---

@test "gc says what would go and why, and removes only when told so" {
  expect 0 ptrain-ckpt gc --dir one --keep-last 1 --keep-every 10
  says "nothing was removed"
  grep -E '^would remove +step-00000005 .*no rule keeps it' <<<"$output"
  grep -E '^keep +step-00000010 .*a multiple of 10' <<<"$output"
  grep -E '^keep +step-00000020 .*verified' <<<"$output"
  [ "$(ptrain-ckpt ls --dir one | wc -l)" -eq 4 ]
  expect 0 ptrain-ckpt gc --dir one --keep-last 1 --keep-every 10 --yes --json
  jq -es 'map(select(.done).step) == [5, 15]' <<<"$output"
  [ "$(ptrain-ckpt ls --dir one --json | jq -s -c 'map(.step)')" = '[10,20]' ]
}

@test "gc keeps the newest that is sound, and all when none is" {
  flip one/step-00000020/stage-00.optim.safetensors 9000
  expect 0 ptrain-ckpt gc --dir one --keep-last 1 --yes
  grep -E '^keep +step-00000015 .*verified' <<<"$output"
  [ "$(ptrain-ckpt ls --dir one --json | jq -s -c 'map(.step)')" = '[15,20]' ]
  flip one/step-00000015/stage-00.optim.safetensors 9000
  expect 65 ptrain-ckpt gc --dir one --keep-last 1 --yes
  says "all are kept"
  [ "$(ptrain-ckpt ls --dir one | wc -l)" -eq 2 ]
  expect 2 ptrain-ckpt gc --dir one --keep-last 0
  expect 2 ptrain-ckpt gc --dir one
}

@test "gc leaves a step alone that may be being written" {
  rm one/step-000000{05,10}/manifest.json
  find one/step-00000005 -exec touch -d '2 hours ago' {} +
  expect 0 ptrain-ckpt gc --dir one --keep-last 1 --yes
  grep -E '^removed +step-00000005 .*no manifest' <<<"$output"
  grep -E '^keep +step-00000010 .*being written' <<<"$output"
}

# --- hostile folders ---

@test "pipes, links and folders in place of files are refused at once" {
  local file=one/step-00000020/stage-00.model.safetensors
  rm "$file"
  mkfifo "$file"
  expect 65 timeout 20 ptrain-ckpt verify one/20 --data
  prints "not a regular file"
  rm "$file"
  ln -s ../step-00000015/stage-00.model.safetensors "$file"
  expect 65 ptrain-ckpt verify one/20 --data
  rm "$file" one/step-00000015/manifest.json
  mkfifo one/step-00000015/manifest.json
  expect 65 timeout 20 ptrain-ckpt verify one/15
  expect 65 timeout 20 ptrain-ckpt show one/15
  mkdir -p three/step-00000003/manifest.json
  expect 65 ptrain-ckpt verify three/3
  expect 74 ptrain-ckpt ls --dir job.toml
}

@test "a header that claims 200 MB costs no memory" {
  local file=one/step-00000020/stage-00.model.safetensors
  printf '\x00\xc2\xeb\x0b\x00\x00\x00\x00' | dd of="$file" bs=1 conv=notrunc status=none
  expect 65 bash -c 'ulimit -v 200000; ptrain-ckpt verify one/20'
  prints "its header is not the one that its record gives"
}
