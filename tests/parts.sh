# What scripts of tests share whose parts have names: --only, and a line of TAP for each test. Source
# it after recipes/lib.sh.
# shellcheck shell=bash disable=SC2034  # CODE is what the script ends with
set -euo pipefail

CHOSEN=()

# choose ARGUMENT...: the parts that --only names, or all of them, into CHOSEN. `names` prints them,
# one a line, and `usage` what they are: both are the script's own.
choose() {
  while (($#)); do
    case $1 in
      --only)
        need_value "$@"
        names | grep -qxF -- "$2" || die_usage "--only $2: expected one of $(names | paste -sd ' ')"
        CHOSEN+=("$2")
        shift
        ;;
      -h | --help) usage; exit 0 ;;
      *) die_usage "unknown argument: $1" ;;
    esac
    shift
  done
  if ((${#CHOSEN[@]} == 0)); then mapfile -t CHOSEN < <(names); fi
}

NUMBER=0 CODE=0  # of tests so far, and what the script ends with

report() {  # report CODE WHAT
  NUMBER=$((NUMBER + 1))
  if (($1 == 0)); then
    printf 'ok %d %s\n' "$NUMBER" "$2"
  else
    printf 'not ok %d %s\n' "$NUMBER" "$2"
    CODE=$EXIT_NEGATIVE
  fi
}
