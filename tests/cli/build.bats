#!/usr/bin/env bats
# recipes/build.sh, and which libtorch a build takes: what is refused before anything is compiled.

load helper

# Every folder is configured by one small project, whose compiler is looked for once.
setup_file() {
  mkdir -p "$BATS_FILE_TMPDIR/project"
  cat >"$BATS_FILE_TMPDIR/project/CMakeLists.txt" <<CMAKE
cmake_minimum_required(VERSION 3.25)
project(probe LANGUAGES CXX)
include($ROOT/tools/stage/torch.cmake)
message(STATUS "installed programs look in \${CMAKE_INSTALL_RPATH}")
CMAKE
}

setup() { cd "$BATS_TEST_TMPDIR" || return; }

# torch VERSION [LIBRARY-VERSION]: a folder as one of PyTorch's packages, as far as it is looked at
torch() {
  local numbers
  IFS=. read -ra numbers <<<"$1"
  mkdir -p torch/include/ATen torch/include/torch/csrc/api/include/torch torch/lib
  : >torch/include/ATen/ATen.h
  printf '#define TORCH_VERSION_%s\n' "MAJOR ${numbers[0]}" "MINOR ${numbers[1]}" "PATCH ${numbers[2]}" \
    >torch/include/torch/csrc/api/include/torch/version.h
  printf "__version__ = '%s+cpu'\n" "${2:-$1}" >torch/version.py
  : >torch/lib/libtorch.so
  : >torch/lib/libtorch_cpu.so
  printf '_ZN3c105ErrorC1ENSt7__cxx1112basic_stringE' >torch/lib/libc10.so
}

configure() { cmake -G Ninja -S "$BATS_FILE_TMPDIR/project" -B "$BATS_FILE_TMPDIR/build" "$@" 2>&1; }

@test "a libtorch of another folder is taken whole, or refused with the reason" {
  torch 2.9.1
  expect 0 configure -DPTRAIN_TORCH="$PWD/torch"
  [[ $output == *"libtorch 2.9.1 (cpu): $PWD/torch"*"installed programs look in $PWD/torch/lib"* ]]
  : >torch/lib/libtorch_cuda.so
  expect 0 configure -DPTRAIN_TORCH="$PWD/torch"
  [[ $output == *"(cpu;cuda)"* ]]

  expect 1 configure -DPTRAIN_TORCH="$PWD"
  [[ $output == *"there is no include/ATen/ATen.h in it"* ]]
  torch 2.6.0
  expect 1 configure -DPTRAIN_TORCH="$PWD/torch"
  [[ $output == *"is libtorch 2.6.0."*"2.7 or newer"* ]]
  torch 2.9.1 2.8.0
  expect 1 configure -DPTRAIN_TORCH="$PWD/torch"
  [[ $output == *"headers are of 2.9.1, its library is of 2.8.0"* ]]
  torch 2.9.1
  printf '_ZN3c105ErrorC1ESs' >torch/lib/libc10.so
  expect 1 configure -DPTRAIN_TORCH="$PWD/torch"
  [[ $output == *"old ABI of libstdc++"* ]]
}

@test "the system's library with another folder's headers is refused" {
  # As TorchConfig.cmake of PyTorch's package finds it where the system has a libtorch, too.
  mkdir -p mixed
  cat >mixed/TorchConfig.cmake <<CMAKE
set(TORCH_INSTALL_PREFIX $PWD/torch)
set(TORCH_INCLUDE_DIRS $PWD/torch/include)
set(TORCH_LIBRARIES torch)
set(TORCH_LIBRARY /usr/lib/libtorch.so)
set(Torch_FOUND TRUE)
CMAKE
  expect 1 configure -DPTRAIN_TORCH= -DTorch_DIR="$PWD/mixed"
  [[ $output == *"two releases"*"build.sh --torch"* ]]
}

@test "build.sh names what is no libtorch" {
  expect 2 "$RECIPES/build.sh" --torch "$PWD/absent"
  says "--torch $PWD/absent: neither a folder nor a python"
  printf '#!/bin/sh\nexit 1\n' >python
  chmod +x python
  expect 2 "$RECIPES/build.sh" --torch ./python
  says "has no PyTorch"
  says "pip install torch"
  # Beside a folder of that name, too, which is on the path of `python -c`.
  mkdir torch
  printf '#!/bin/sh\nexec /usr/bin/python3 -S "$@"\n' >python
  expect 2 "$RECIPES/build.sh" --torch ./python
  says "has no PyTorch"
  expect 2 "$RECIPES/build.sh" --torch
  expect 2 "$RECIPES/build.sh" --torsh x
}
