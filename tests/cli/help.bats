#!/usr/bin/env bats
# What a program says to those who do not know it yet: refusals, help, completion, --quiet, --version.

load helper
load tiny_job

setup() { cd "$BATS_TEST_TMPDIR" || return; }

LAB_LINK=$PTRAIN_BIN/../lib/ptrain/lab-link

# refused HINT COMMAND...: with 2, and the program's name before both lines
refused() {
  local hint=$1 name
  shift
  name=$(basename "$1")
  expect 2 "$@"
  [[ -z $output && $stderr == "$name: error: "*$'\n'"$name: hint: $hint" ]] || { show_output; return 1; }
}

@test "a command that does not exist is answered with the one that was meant" {
  refused 'did you mean verify? see ptrain-ckpt --help' ptrain-ckpt verfiy --data
  says "unknown command verfiy"
  refused 'did you mean sample? see ptrain-stage --help' ptrain-stage simple
  refused 'did you mean encode? see ptrain-data --help' ptrain-data encod
  refused 'did you mean serve? see ptrain-relay --help' ptrain-relay srve
  refused 'did you mean status? see ptrain-punch --help' ptrain-punch statsu
  refused 'did you mean link? see ptrain-probe --help' ptrain-probe lnk
  refused 'did you mean renew? see ptrain-relay ticket --help' ptrain-relay ticket renw
  refused 'did you mean verify? see ptrain-ckpt --help' ptrain-ckpt help verfiy
  refused 'see ptrain-ckpt --help' ptrain-ckpt nothing
}

@test "an option that does not exist is answered with the one that was meant" {
  refused 'did you mean --job? see ptrain-stage run --help' ptrain-stage run --jbo job.toml
  says "unknown option --jbo"
  refused 'did you mean --tolerance? see ptrain-ckpt diff --help' ptrain-ckpt diff --tolerence=1 1 2
  refused 'did you mean --val-fraction? see ptrain-data encode --help' ptrain-data encode --val-fracton 0.1 x
  refused 'did you mean --max-bytes? see ptrain-probe link --help' ptrain-probe link --max-byte 1 x
  refused 'did you mean --public-host? see ptrain-relay serve --help' ptrain-relay serve --public x
  refused 'did you mean --delay? see lab-link --help' "$LAB_LINK" --dealy 3
  refused 'did you mean ptrain-stage run --job? see ptrain-stage --help' ptrain-stage --job job.toml
}

@test "a usage error points at the help of the command that was given" {
  refused 'see ptrain-ckpt merge --help' ptrain-ckpt merge --out whole
  refused 'see ptrain-stage run --help' ptrain-stage run --job x --stage -1
  refused 'see ptrain-data decode --help' ptrain-data decode one two
  refused 'see ptrain-relay ticket --help' ptrain-relay ticket
  refused 'see ptrain-relay --help' ptrain-relay
  refused 'see ptrain-punch map --help' ptrain-punch map --tcp many
}

@test "help COMMAND is COMMAND --help, and each has an example of its own" {
  local program help
  local -a words
  for program in ptrain-data ptrain-ckpt ptrain-relay ptrain-probe ptrain-punch ptrain-stage; do
    while read -ra words; do
      expect 0 "${words[@]}" --help
      help=$output
      [[ $help == *Example*"  ${words[*]}"* ]] || { echo "${words[*]} --help has no example of its own"; return 1; }
      if [[ ${words[1]-} == help ]]; then continue; fi
      expect 0 "$program" help "${words[@]:1}"
      [[ $output == "$help" ]] || { echo "$program help ${words[*]:1} is another"; return 1; }
    done < <(commands "$program")
  done
}

# --- --quiet ---

@test "--quiet leaves errors on standard error, and standard output as it is" {
  tiny_data .
  expect 0 ptrain-stage run --job job.toml --threads 1 --set checkpoint.dir=one --json --progress always
  [ -n "$stderr" ]
  local loud=$output
  expect 0 ptrain-stage run --quiet --job job.toml --threads 1 --set checkpoint.dir=two --json --progress always
  [ -z "$stderr" ] || { show_output; return 1; }
  [ "$(jq .weights_sha256 <<<"$output")" = "$(jq .weights_sha256 <<<"$loud")" ]
  expect 0 ptrain-stage -q eval --checkpoint one --data data/val_000000.bin --seq-len 32 --bfloat16 --threads 1
  [[ -z $stderr && -n $output ]] || { show_output; return 1; }
  expect 74 ptrain-stage run --quiet --job none.toml
  says "none.toml"
}

@test "--quiet shows no progress on a terminal" {
  tiny_data .
  run env TERM=xterm python3 "$BATS_TEST_DIRNAME/on_terminal.py" -- \
    ptrain-stage run --job job.toml --threads 1 --set checkpoint.dir=one
  [[ $output == *"step 20/20"* ]] || { echo "$output"; return 1; }
  run env TERM=xterm python3 "$BATS_TEST_DIRNAME/on_terminal.py" -- \
    ptrain-stage run -q --job job.toml --threads 1 --set checkpoint.dir=two
  [[ $output == "step 20 of 20 is done"* && $output != *"step 20/20"* ]] || { echo "$output"; return 1; }
}

@test "--quiet recipes say errors, and nothing else" {
  tiny_data .
  expect 0 "$RECIPES/pipeline.sh" --job job.toml --stages 2 --out two --threads 1
  says "done: step 20"
  expect 0 "$RECIPES/pipeline.sh" --quiet --job job.toml --stages 2 --out quiet --threads 1 --json
  [[ -z $stderr && $(jq .steps <<<"$output") == 20 ]] || { show_output; return 1; }
  expect 74 "$RECIPES/pipeline.sh" --job none.toml --stages 2 --out none --quiet
  says "pipeline.sh: error: job file none.toml cannot be read"
  expect 0 "$RECIPES/plot.sh" two -o two.png --quiet
  [ -z "$stderr" ]
}

# --- --version ---

@test "--version names the release and the commit" {
  local program
  for program in "$PTRAIN_BIN"/ptrain-* "$LAB_LINK"; do
    expect 0 "$program" --version
    [[ ${output%%$'\n'*} =~ ^[a-z-]+\ [0-9]+\.[0-9]+\.[0-9]+(\ \([0-9a-f]{9,}(-dirty)?\))?$ ]] || { show_output; return 1; }
  done
}

# commit: what the build would write into the source that says the commit of ./clone
commit() {
  cmake -D SOURCE="$PWD/clone" -D OUTPUT="$PWD/commit.cc" -P "$ROOT/libcommon/cmake/commit.cmake"
  sed -n 's/.*return "\(.*\)".*/\1/p' commit.cc
}

@test "the commit is told of a clone, and the file that says it changes with the commit alone" {
  mkdir clone
  [ -z "$(commit)" ]  # a tarball, within whoever's repository
  local -a git=(git -C clone -c user.name=x -c user.email=x@example.org)
  "${git[@]}" init -q
  : >clone/file
  "${git[@]}" add file
  "${git[@]}" commit -qm one
  local hash
  hash=$("${git[@]}" rev-parse --short=9 HEAD)
  [ "$(commit)" = "$hash" ]
  touch -d 2020-01-01 commit.cc
  [ "$(GIT_DIR=/nowhere commit)" = "$hash" ]
  [[ $(stat -c %y commit.cc) == 2020-01-01* ]]
  echo more >clone/file
  [ "$(commit)" = "$hash-dirty" ]
}

@test "ptrain-stage --version says what it computes with" {
  expect 0 ptrain-stage --version
  show_output
  grep -qE '^libtorch [0-9]+\.[0-9]+' <<<"$output"
  grep -qE '^BLAS [A-Za-z]' <<<"$output"
  grep -qE '^devices cpu \([0-9]+ threads, [^)]+\), (no )?cuda' <<<"$output"
}

# --- completion ---

# completes WORD... : what bash offers for the last word, a line each
completes() {
  local program=$1
  (
    # shellcheck source=/dev/null
    . <("$program" --completion bash)
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    "_${program//-/_}"
    printf '%s\n' "${COMPREPLY[@]}"
  )
}

# offers EXPECTED WORD...: exactly these words, in any order
offers() {
  local expected=$1 got
  shift
  got=$(completes "$@" | sort | paste -sd ' ')
  [[ $got == "$expected" ]] || { echo "offered: $got"; return 1; }
}

@test "bash completes commands, options, values, files and folders" {
  mkdir folder
  touch 'a file' folder/x
  offers 'seal serve show' ptrain-ckpt s
  offers 'new renew revoke show' ptrain-relay ticket ''
  offers '--data' ptrain-ckpt verify --da
  offers 'folder latest' ptrain-ckpt verify --data ''  # which takes no value
  offers 'bfloat16 float32' ptrain-ckpt export --dtype ''
  offers 'bfloat16' ptrain-ckpt export --dtype = b
  offers 'bytes' ptrain-data encode --tokenizer b
  offers 'folder' ptrain-ckpt ls --dir ''
  offers 'a file' ptrain-stage run --job a
  offers 'folder/x' ptrain-data decode folder/
  offers '' ptrain-stage run --threads ''
  offers 'link' ptrain-probe l
  offers '--listen' ptrain-relay serve --li
  offers '--max-bytes --max-rate --max-time' ptrain-probe link --max
  offers 'latest' ptrain-ckpt verify --dir show la  # a value that is a command's name
  offers 'encode' ptrain-data help en
}

@test "zsh completes" {
  mkdir functions
  for program in ptrain-ckpt ptrain-relay; do "$program" --completion zsh >"functions/_$program"; done
  cat >type.zsh <<'ZSH'
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'PS1= RPS1=; fpath=(functions $fpath); autoload -Uz compinit; compinit -u -D'
zpty -w shell 'ptrain-ckpt() print -r "GOT:" "$@"; ptrain-relay() print -r "GOT:" "$@"; print READY"":'
zpty -r shell line '*READY:*'
for typed in "$@"; do
  zpty -w -n shell "${(g::)typed}"$'\n'
  zpty -r shell line '*GOT: *'
  zpty -r shell line '*'$'\n'
  print -r -- "GOT: ${line%%$'\r'*}"
done
ZSH
  run timeout 300 zsh -f type.zsh 'ptrain-ckpt veri\t--da\t' 'ptrain-ckpt export --dt\tbf\t' 'ptrain-relay tick\trene\t'
  echo "$output"
  [[ $output == *"GOT: verify --data"* && $output == *"GOT: export --dtype=bfloat16"* && $output == *"GOT: ticket renew"* ]]
}

@test "fish completes" {
  mkdir folder
  local -A wanted=(
    ['ptrain-ckpt ver']=verify ['ptrain-ckpt verify --da']=--data ['ptrain-ckpt export --dtype b']=bfloat16
    ['ptrain-relay ticket rene']=renew ['ptrain-ckpt ls --dir fo']=folder/ ['ptrain-data help en']=encode
  )
  local line program got
  for program in ptrain-ckpt ptrain-relay ptrain-data; do "$program" --completion fish; done >all.fish
  export HOME=$PWD
  for line in "${!wanted[@]}"; do
    # shellcheck disable=SC2016  # fish's own
    got=$(fish --no-config -c 'source all.fish; complete -C $argv[1]' "$line" | cut -f 1)
    [[ $got == "${wanted[$line]}" ]] || { echo "$line: $got"; return 1; }
  done
}

@test "cmake --install puts completions where shells look" {
  local program script=$PTRAIN_BIN/../tools/cmake_install.cmake
  # Of this folder alone: the rest is large.
  cmake -D CMAKE_INSTALL_PREFIX="$PWD/usr" -D CMAKE_INSTALL_LOCAL_ONLY=1 -P "$script"
  for program in ptrain-data ptrain-ckpt ptrain-relay ptrain-probe ptrain-punch; do
    cmp <("$program" --completion bash) "usr/share/bash-completion/completions/$program"
    cmp <("$program" --completion zsh) "usr/share/zsh/site-functions/_$program"
    cmp <("$program" --completion fish) "usr/share/fish/vendor_completions.d/$program.fish"
  done
}
