#!/usr/bin/env bats
# What the manual says against what the programs do.

load ../cli/helper

setup() { cd "$ROOT" || return; }

page_text() { scdoc <"$1" | LC_ALL=C.UTF-8 MANWIDTH=200 man -l - 2>/dev/null | LC_ALL=C.UTF-8 col -b; }

# programs: the built ones, by name
programs() { basename -a "$PTRAIN_BIN"/ptrain-*; }

# subcommands PROGRAM: the names that its --help lists
subcommands() { "$1" --help | sed -n '/^Subcommands:/,/^[A-Z]/s/^  \([a-z][a-z-]*\).*/\1/p'; }

# flags COMMAND...: the long options that its --help lists
flags() { "$@" --help | grep -oE '(^|[ ,])--[a-z][a-z0-9-]+' | grep -oE -- '--.*' | sort -u; }

@test "every page becomes a manual page without a warning" {
  local page warnings
  for page in man/*.scd; do
    scdoc <"$page" >"$BATS_TEST_TMPDIR/page"
    # Of a narrow column whose words leave gaps groff 1.23 says so; nothing is wrong with it.
    warnings=$(man --warnings -E UTF-8 -l -Tutf8 -Z "$BATS_TEST_TMPDIR/page" 2>&1 >/dev/null |
      grep -v ': cannot adjust line$') || true
    [[ -z $warnings ]] || { echo "$page: $warnings"; return 1; }
  done
}

@test "every program has a page with its synopsis, exit status and an example" {
  local program section
  for program in $(programs); do
    for section in SYNOPSIS "EXIT STATUS" EXAMPLES "SEE ALSO"; do
      grep -qx "# $section" "man/$program.1.scd" || { echo "$program.1.scd: no $section"; return 1; }
    done
  done
}

@test "every program answers --version and shows an example in --help" {
  local program
  for program in $(programs); do
    expect 0 "$program" --version
    prints "$program "
    expect 0 "$program" --help
    grep -qi example <<<"$output" || { echo "$program --help: no example"; return 1; }
  done
}

@test "every option of every subcommand is in its program's page" {
  local program subcommand flag missing=''
  for program in $(programs); do
    page_text "man/$program.1.scd" >"$BATS_TEST_TMPDIR/text"
    for subcommand in '' $(subcommands "$program"); do
      # shellcheck disable=SC2086  # no subcommand, no word
      for flag in $(flags "$program" $subcommand); do
        grep -q -- "$flag" "$BATS_TEST_TMPDIR/text" || missing+="$program $subcommand $flag"$'\n'
      done
      grep -q -- "$subcommand" "$BATS_TEST_TMPDIR/text" || missing+="$program $subcommand"$'\n'
    done
  done
  [[ -z $missing ]] || { echo "$missing"; return 1; }
}

@test "every option in a program's page exists" {
  local program subcommand flag unknown=''
  for program in $(programs); do
    for subcommand in '' $(subcommands "$program"); do
      # shellcheck disable=SC2086
      flags "$program" $subcommand
    done >"$BATS_TEST_TMPDIR/flags"
    while read -r flag; do
      grep -qx -- "$flag" "$BATS_TEST_TMPDIR/flags" || unknown+="$program: $flag"$'\n'
    done < <(grep -oE -- '\*--[a-z][a-z0-9-]+' "man/$program.1.scd" | tr -d '*' | sort -u)
  done
  [[ -z $unknown ]] || { echo "$unknown"; return 1; }
}

# says_all PAGE RECIPE: it has its name and every option
says_all() {
  local flag missing=''
  page_text "man/$1.scd" >"$BATS_TEST_TMPDIR/text"
  for flag in "$(basename "$2")" $(flags "$2"); do
    grep -q -- "$flag" "$BATS_TEST_TMPDIR/text" || missing+=" $flag"
  done
  [[ -z $missing ]] || { echo "$1 lacks of $2:$missing"; return 1; }
}

@test "every recipe's options are in ptrain-recipes(7), and the laboratory's in ptrain-lab(7)" {
  local recipe
  for recipe in recipes/*.sh; do
    [[ $recipe != recipes/lib.sh ]] || continue
    says_all ptrain-recipes.7 "$recipe"
  done
  says_all ptrain-lab.7 recipes/lab/lab.sh
  grep -q 'lab/lab.sh' man/ptrain-recipes.7.scd
}

@test "every kind of router, and every verb, is in ptrain-lab(7)" {
  local word words
  page_text man/ptrain-lab.7.scd >"$BATS_TEST_TMPDIR/text"
  words=$(bash -c '. recipes/lab/nat.bash; echo "${NAT_KINDS[*]} ${NAT_EXTRAS[*]}"; recipes/lab/bin/router --help' |
    awk 'NR == 1 || /^  [a-z]/')
  for word in $(sed -n 1p <<<"$words") $(awk '/^  / { print $1 }' <<<"$words"); do
    grep -qE "^ *(│ *)?(.*, )?$word\b" "$BATS_TEST_TMPDIR/text" || { echo "no $word"; return 1; }
  done
}

@test "every page that is referred to exists, here or on the system" {
  local reference name section missing=''
  for reference in $(grep -ohE '\bptrain[a-z-]*\*?\([0-9]\)' man/*.scd README.md | tr -d '*' | sort -u); do
    name=${reference%(*} section=${reference#*(}
    [[ -f man/$name.${section%)}.scd ]] || missing+="$reference"$'\n'
  done
  [[ -z $missing ]] || { echo "$missing"; return 1; }
}

@test "the README's job trains" {
  cd "$BATS_TEST_TMPDIR" || return
  awk '/^```toml/ { inside = 1; next } /^```/ { inside = 0 } inside' "$ROOT/README.md" >my.toml
  ptrain-data encode --tokenizer bytes --val-fraction 0.1 --out data "$ROOT/recipes/corpus/alice.txt"
  expect 0 ptrain-stage run --job my.toml --set train.steps=1 --set eval.sequences=4
}
