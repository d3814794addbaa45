#!/usr/bin/env bash
# ptrain for arm64 on a machine that is none: cross-built against Debian's arm64 packages, run
# under qemu-user.
# shellcheck source=../recipes/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../recipes/lib.sh"
# shellcheck source=parts.sh
. "$ROOT/tests/parts.sh"

readonly DEFAULT_SYSROOT=$ROOT/build/arm64-sysroot BUILD=$ROOT/build/arm64
readonly TOOLS=(aarch64-linux-gnu-g++:g++-aarch64-linux-gnu qemu-aarch64:qemu-user mmdebstrap:mmdebstrap)
readonly PROGRAMS=(ptrain-stage ptrain-data ptrain-ckpt ptrain-relay ptrain-probe ptrain-punch)
readonly STEPS=3
readonly TEST_TIMEOUT_S=900  # of the tests of one part, which natively take seconds
# A board of 2019 without bfloat16 instructions, and all that qemu knows.
readonly PROCESSORS=(cortex-a72 max)

usage() {
  cat <<'TEXT'
usage: arm64.sh [--sysroot FOLDER] [--mirror URL]

Extracts Debian's arm64 libraries into a folder, cross-builds all programs and libcommon's unit
tests against them, and runs under qemu-aarch64:

  - libcommon's unit tests
  - that the kernels were compiled to vector instructions (of the object code)
  - a job of three steps, in both precisions, whose weights must not depend on the cut

Prints a line of TAP for each. Needs g++-aarch64-linux-gnu, qemu-user and mmdebstrap, and for the
extraction root and the network.

  --sysroot FOLDER  the libraries; used again when they are there (default: build/arm64-sysroot)
  --mirror URL      where packages come from; by default the mirror that this system uses

Example:
  sudo ./tests/arm64.sh
TEXT
}

SYSROOT=$DEFAULT_SYSROOT MIRROR=''

parse_options() {
  while (($#)); do
    case $1 in
      --sysroot) need_value "$@"; SYSROOT=$2; shift ;;
      --mirror) need_value "$@"; MIRROR=$2; shift ;;
      -h | --help) usage; exit 0 ;;
      *) die_usage "unknown argument: $1" ;;
    esac
    shift
  done
}

# --- the libraries ---

# What install-deps.sh names and a program is linked with: the libraries and their headers, with
# those of the cross compiler's C++.
libraries() {
  "$RECIPES/install-deps.sh" --list test | grep -E '^(lib|cppzmq|nlohmann)' | grep -v '^libclang-rt'
  printf '%s\n' base-files libc6-dev libgomp1 \
    "libstdc++-$(aarch64-linux-gnu-g++ -dumpversion | cut -d . -f 1)-dev"
}

# The release that this system and its cross compiler are.
own_suite() { sed -n 's/^VERSION_CODENAME=//p' /etc/os-release; }

# Packages are only extracted: none of their scripts runs, so nothing is emulated.
extract_sysroot() {
  local log=$TEMP_FOLDER/extract.log library
  if [[ -f $SYSROOT/complete ]]; then return; fi
  rm -rf "$SYSROOT"
  mkdir -p "$(dirname "$SYSROOT")" || die "$EXIT_IO" "folder $SYSROOT cannot be made"
  say "extracting Debian's arm64 libraries into $SYSROOT"
  # shellcheck disable=SC2016  # mmdebstrap's own $1
  if ! mmdebstrap --variant=extract --architectures=arm64 --include="$(libraries | paste -sd ,)" \
    --setup-hook='mkdir -p "$1/usr/lib"; ln -s usr/lib "$1/lib"' "$(own_suite)" "$SYSROOT" \
    ${MIRROR:+"$MIRROR"} >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    die "$EXIT_UNAVAILABLE" "the libraries of arm64 cannot be had (see above)" "check the network and the mirror"
  fi
  # What update-alternatives(1) would link: packages that libtorch needs ask for them by these names.
  for library in libblas.so.3 liblapack.so.3 libopenblas.so.0; do
    ln -sf "openblas-openmp/$library" "$SYSROOT/usr/lib/aarch64-linux-gnu/$library"
  done
  touch "$SYSROOT/complete"
}

# --- tests: each prints a line of TAP ---

# The parts of libcommon that have tests.
tested_parts() {
  local part
  for part in "$ROOT"/libcommon/*/; do
    part=$(basename "$part")
    if [[ -d $ROOT/tests/unit/$part ]]; then printf '%s\n' "$part"; fi
  done
}

build_all() {  # build_all PART...
  local log=$TEMP_FOLDER/build.log
  say "building for arm64"
  if cmake -S "$ROOT" -B "$BUILD" -G Ninja -DCMAKE_BUILD_TYPE=Release -DPTRAIN_BENCH=OFF \
    -DCMAKE_TOOLCHAIN_FILE="$ROOT/libcommon/cmake/arm64.cmake" -DPTRAIN_SYSROOT="$SYSROOT" \
    >"$log" 2>&1 && cmake --build "$BUILD" -j "$(build_jobs)" \
    --target "${PROGRAMS[@]}" "${@/#/test_}" >>"$log" 2>&1; then return; fi
  tail -n 30 "$log" >&2
  die "$EXIT_IO" "the build for arm64 failed (see above)"
}

# Fused multiply-adds of whole vectors, in the kernels that are nothing but arithmetic.
kernels_are_vectorised() {
  local source count
  for source in attention_forward attention_backward swiglu; do
    count=$(aarch64-linux-gnu-objdump -d \
      "$BUILD/tools/stage/CMakeFiles/ptrain_kernels_baseline.dir/kernels/$source.cc.o" |
      grep -cE '\sfml[as]\s+v[0-9]+\.4s' || true)
    say "$source: $count vector multiply-adds"
    ((count > 0)) || return 1
  done
}

# qemu-user makes no terminals (openpty), so the progress line is left out.
unit_test() {  # unit_test PART: how many of its cases passed is said
  local log=$TEMP_FOLDER/$1.log code=0 passed
  timeout "$TEST_TIMEOUT_S" qemu-aarch64 -L "$SYSROOT" "$BUILD/tests/test_$1" --gtest_filter='-Progress.*' \
    >"$log" 2>&1 || code=$?
  if ((code)); then tail -n 40 "$log" >&2; fi
  passed=$(sed -n 's/^\[  PASSED  \] \([0-9]*\).*/\1/p' "$log" | tail -n 1)
  report "$code" "$1: ${passed:-no} tests passed"
}

# Programs that a recipe can start by their names.
emulated_programs() {
  local program
  for program in "${PROGRAMS[@]}"; do
    # shellcheck disable=SC2016  # the stand-in expands it
    printf '#!/bin/sh\nexec qemu-aarch64 -cpu "$PTRAIN_QEMU_CPU" -L %q %q "$@"\n' "$SYSROOT" \
      "$BUILD/bin/$program" >"$TEMP_FOLDER/$program"
    chmod +x "$TEMP_FOLDER/$program"
  done
}

weights() {  # weights STAGES [OPTION]...: the hash after STEPS steps
  local out=$TEMP_FOLDER/out
  rm -rf "$out"
  PTRAIN_BIN=$TEMP_FOLDER "$RECIPES/pipeline.sh" --job "$TEMP_FOLDER/job.toml" --stages "$1" \
    --out "$out" --threads 1 --json "${@:2}" |
    jq -er .weights_sha256
}

job_keeps_its_bits() {  # job_keeps_its_bits PROCESSOR PRECISION
  local one two
  export PTRAIN_QEMU_CPU=$1
  one=$(weights 1 --set "precision.compute=$2") && two=$(weights 2 --set "precision.compute=$2") &&
    say "$1, $2: one stage $one, two stages $two" && [[ $one == "$two" && -n $one ]]
}

# What the job needs: data, and the recipes' own job made small.
make_job() {
  emulated_programs
  export PTRAIN_QEMU_CPU=max
  head -c 60000 "$RECIPES/corpus/alice.txt" >"$TEMP_FOLDER/text"
  "$TEMP_FOLDER/ptrain-data" encode --tokenizer bytes --val-fraction 0.1 --out "$TEMP_FOLDER/data" \
    "$TEMP_FOLDER/text" >/dev/null
  cat >"$TEMP_FOLDER/job.toml" <<TOML
[model]
vocab_size = 256
hidden_size = 64
intermediate_size = 128
num_hidden_layers = 4
num_attention_heads = 4

[data]
train = "$TEMP_FOLDER/data/train_*.bin"
val = "$TEMP_FOLDER/data/val_*.bin"
seq_len = 32

[batch]
global = 8
micro = 2

[train]
steps = $STEPS

[optim]
warmup_steps = 1
TOML
}

main() {
  parse_options "$@"
  unset OPENBLAS_CORETYPE DNNL_MAX_CPU_ISA ATEN_CPU_CAPABILITY  # said of this machine, not of that one
  local tool processor precision part code
  local -a parts
  for tool in "${TOOLS[@]}"; do need_tool "${tool%:*}" "${tool#*:}"; done
  mapfile -t parts < <(tested_parts)
  make_temp_folder
  extract_sysroot
  build_all "${parts[@]}"

  printf '1..%d\n' $((1 + ${#parts[@]} + 2 * ${#PROCESSORS[@]}))
  code=0
  kernels_are_vectorised || code=1
  report "$code" "the kernels are vectorised for NEON"
  make_job
  for processor in "${PROCESSORS[@]}"; do
    for precision in float32 bfloat16; do
      code=0
      job_keeps_its_bits "$processor" "$precision" || code=1
      report "$code" "a job in $precision on $processor: the same bits over one and two stages"
    done
  done
  for part in "${parts[@]}"; do unit_test "$part"; done
  exit "$CODE"
}

main "$@"
