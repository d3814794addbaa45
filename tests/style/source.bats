#!/usr/bin/env bats
# The house's rules for sources, as tests: what a reader may rely on in every file.

load ../cli/helper

setup() { cd "$ROOT" || return; }

# files PATTERN...: the project's own files, tracked or not yet.
files() { git ls-files --cached --others --exclude-standard -- "$@" | while read -r file; do
  if [[ -f $file ]]; then printf '%s\n' "$file"; fi
done; }

cxx() { files '*.h' '*.cc'; }
scripts() { files '*.sh' '*.bash' '*.bats' .ci/run recipes/lab/bin; }

texts() { cxx; scripts; files '*.scd' '*.md' '*.capnp' '*.py' '*.toml' '*.cmake' '*CMakeLists.txt'; }

# finds_nothing COMMAND...: given the files named on stdin, the command prints nothing.
finds_nothing() {
  local found
  found=$(xargs -r "$@" || true)
  [[ -z $found ]] || { printf '%s\n' "$found"; return 1; }
}

# has_no REGEX: no file named on stdin has such a line.
has_no() { finds_nothing grep -HnE -- "$1"; }

@test "every script passes shellcheck" {
  scripts | xargs -n 8 -P 2 shellcheck
}

# bash -e goes on after the first half of a list, and after what ! inverts.
@test "what a test asks for with && or ! can fail" {
  files '*.bats' '*.bash' | has_no '^ +(\[\[? [^#]* \]\]? && (\[|\(\()|! [^|]*$)'
}

@test "every script is strict" {
  local file
  while read -r file; do
    grep -q 'set -euo pipefail' "$file" || grep -q '/lib.sh"$' "$file" || { echo "$file"; return 1; }
  done < <(files '*.sh' .ci/run recipes/lab/bin)
}

# Debian 12's version, 14, has the last word. Later ones break some lines elsewhere (19 does in one
# file of forty), so where there is another, most files must be as that one would have them.
@test "every source is formatted as clang-format 14 does it" {
  if [[ $(clang-format --version) == *" 14."* ]]; then
    cxx | xargs -r clang-format --dry-run -Werror
    return
  fi
  local all otherwise
  all=$(cxx | wc -l)
  otherwise=$(cxx | xargs -r clang-format --dry-run 2>&1 | sed -n 's/^\([^ :]*\):.*-Wclang-format.*/\1/p' |
    sort -u | wc -l)
  echo "$otherwise of $all files are not as this clang-format would have them"
  ((otherwise * 10 < all))
}

@test "no file is longer than 600 lines" {
  texts | finds_nothing awk 'FNR == 601 { print FILENAME }'
}

@test "no line of code is longer than 100 characters" {
  # shellcheck disable=SC2016  # awk's own
  cxx | finds_nothing awk 'length($0) > 100 { print FILENAME ":" FNR }'
}

# A function ends at the first brace in column 0 after the line that opened it.
@test "no function is longer than 150 lines, and no main than 60" {
  cxx | finds_nothing awk '
    FNR == 1 { begun = 0 }
    /^[A-Za-z].*\{$/ && !/^(namespace|class|struct|union|enum|extern)/ { begun = FNR; most = /^int main\(/ ? 60 : 150 }
    /^}/ { if (begun && FNR - begun >= most) print FILENAME ":" begun; begun = 0 }'
}

@test "no file is a drawer for everything" {
  nothing=$(files '*.h' '*.cc' '*.sh' '*.py' | grep -E '/(utils?|helpers|common|misc|manager)\.[a-z]+$' || true)
  [[ -z $nothing ]] || { echo "$nothing"; return 1; }
}

@test "no work is left for later in the text" {
  texts | has_no '\b(TO''DO|FIX''ME|XX''X|HA''CK)\b'
}

@test "every header opens with a comment and is included once" {
  local file
  while read -r file; do
    head -n 1 "$file" | grep -q '^//' || { echo "$file: no opening comment"; return 1; }
    grep -qx '#pragma once' "$file" || { echo "$file: no #pragma once"; return 1; }
  done < <(files '*.h')
}

@test "no line ends in blanks" {
  texts | has_no '[[:blank:]]$'
}

# Another release of the C++ library brings no longer what an unrelated header brought.
@test "what uses <algorithm>, <numeric> or <cstring> includes it" {
  local header names
  while read -r header names; do
    cxx | xargs grep -lE "\bstd::($names)\(" | finds_nothing grep -L "#include <$header>"
  done <<'TABLE'
algorithm sort|stable_sort|find|find_if|any_of|all_of|none_of|min|max|clamp|copy|copy_n|fill|fill_n|equal|count|count_if|transform|reverse|unique|remove_if|lower_bound|upper_bound|max_element|min_element|for_each|shuffle|is_sorted|search|mismatch|rotate
numeric iota|accumulate|gcd|inner_product
cstring memcpy|memset|memcmp|memmove|strlen|strcmp
TABLE
}

# CLI11 2.2 and later end the program that has another one.
@test "names of arguments are words" {
  cxx | has_no 'add_option\("[^"-][^"]*[^"A-Za-z0-9_-]'
}

@test "libcommon includes neither libtorch nor a tool" {
  files 'libcommon/*.h' 'libcommon/*.cc' | has_no '#include [<"](torch/|ATen/|c10/|tools/)'
}

@test "a tool includes no other tool" {
  local tool
  for tool in tools/*/; do
    tool=$(basename "$tool")
    # shellcheck disable=SC2016  # awk's own
    files "tools/$tool/*.h" "tools/$tool/*.cc" |
      finds_nothing awk -v own="#include \"tools/$tool/" \
        '/^#include "tools\// && index($0, own) != 1 { print FILENAME ":" FNR ": " $0 }'
  done
}

@test "inside libcommon the arrows point one way" {
  # base stands on nothing; wire knows no socket; schedules and sums know neither sockets nor files.
  files 'libcommon/base/*' | has_no '#include "libcommon/(os|cli|wire|net|job|data|ckpt|pipeline|metrics)/'
  files 'libcommon/wire/*' | has_no '#include "libcommon/net/'
  files 'libcommon/pipeline/*' | has_no '#include "libcommon/(os|net)/'
  files 'libcommon/reduce/*' | has_no '#include "libcommon/(os|cli|net|job|data|ckpt|pipeline|metrics)/'
}

@test "one folder of libcommon knows zmq, and only a node stands on it" {
  files 'libcommon/*.h' 'libcommon/*.cc' | grep -v '^libcommon/net/zmq/' | has_no '#include <zmq'
  files 'libcommon/*.h' 'libcommon/*.cc' | grep -vE '^libcommon/net/(zmq/|node\.cc$)' |
    has_no '#include "libcommon/net/zmq/'
}

@test "results are written by one file, which knows what to do when they cannot be" {
  files 'libcommon/*.cc' 'libcommon/*.h' 'tools/*.cc' 'tools/*.h' | grep -v '^libcommon/cli/output\.' |
    has_no 'fmt::print\(|std::cout|, stdout\)'
}

@test "options that are numbers are read by checks that know nan, -1 and 010" {
  files 'libcommon/*.cc' 'libcommon/*.h' 'tools/*.cc' 'tools/*.h' |
    has_no 'CLI::(Range|PositiveNumber|NonNegativeNumber|Number|Bound)\b'
}

@test "only ptrain-stage is linked with libtorch" {
  local program
  for program in "$PTRAIN_BIN"/ptrain-*; do
    [[ $program != */ptrain-stage ]] || continue
    run ! grep -E 'libtorch|libc10' <(ldd "$program")
  done
  ldd "$PTRAIN_BIN/ptrain-stage" | grep -q libtorch
}

# A linker that is wrong about it makes programs that cannot be loaded, now and then.
@test "what is read-only after relocation begins in the page of its segment" {
  local program
  for program in "$PTRAIN_BIN"/ptrain-* "${PTRAIN_BIN%/bin}"/tests/test_*; do
    readelf -lW "$program" | awk -v program="$program" '
      function page(address) { return substr(address, 1, length(address) - 3) }
      $1 == "LOAD" && / RW / && !segment { segment = page($3) }
      $1 == "GNU_RELRO" { relro = page($3) }
      END { if (relro && relro < segment) { print program; exit 1 } }'
  done
  readelf -lW "$PTRAIN_BIN/ptrain-relay" | grep -q GNU_RELRO
}

@test "the schemas compile, and each has an id of its own" {
  local schema ids
  for schema in schemas/*.capnp; do capnp compile -Ischemas -o- "$schema" >/dev/null; done
  ids=$(grep -ohE '^@0x[0-9a-f]+' schemas/*.capnp | sort)
  [ "$ids" = "$(sort -u <<<"$ids")" ]
}

# A port that one test has left for a moment, another one could take. The examples of the manual have a
# host of their own.
@test "what tests/run.sh runs beside the other files of tests/cli opens no port" {
  local name number=0
  while read -r name; do
    number=$((number + 1))
    if grep -q '^load example_host' "tests/cli/$name.bats"; then continue; fi
    run ! grep -nE 'tcp://|TCP|--listen|over_proxy|RANDOM|relay-pipeline|ptrain-(relay|ckpt) serve' \
      "tests/cli/$name.bats"
    [ -f "tests/cli/$name.bats" ]
  done < <(sed -n '/^declare -rA BESIDE=(/,/^)/p' tests/run.sh | sed -n "/\[cli\]/,/'\$/p" | sed 's/.*=//' | tr -d "'" | xargs -n 1)
  ((number > 5))
}
