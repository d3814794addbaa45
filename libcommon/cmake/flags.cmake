# Compiler and linker flags of the project's own code, as one interface target.

add_library(ptrain_flags INTERFACE)
target_compile_options(ptrain_flags INTERFACE -Wall -Wextra -Wshadow)
# A warning ends the build with the compilers of Debian 12 and 13, which have none. What a later one
# thinks of is no reason why nobody with that system could build the programs.
if((CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 15) OR
    (CMAKE_CXX_COMPILER_ID STREQUAL Clang AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 20))
  target_compile_options(ptrain_flags INTERFACE -Werror)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # GCC 12 sees an overlap in "literal" + std::string at -O3 where there is none (its bug 105651).
  target_compile_options(ptrain_flags INTERFACE -Wno-restrict)
endif()
target_include_directories(ptrain_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_definitions(ptrain_flags INTERFACE PTRAIN_VERSION="${PROJECT_VERSION}")

# The build type of sanitizers: quick to compile, and fast enough for every test.
set(CMAKE_CXX_FLAGS_SANITIZE "-O1 -gline-tables-only")
# Unit tests themselves are compiled at -O0, in half of the time; what they test is not.
set(PTRAIN_TEST_FLAGS -O0)

if(PTRAIN_SANITIZE)
  target_compile_options(ptrain_flags INTERFACE
    -fsanitize=${PTRAIN_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(ptrain_flags INTERFACE -fsanitize=${PTRAIN_SANITIZE})
  target_compile_definitions(ptrain_flags INTERFACE PTRAIN_SANITISED)
endif()

# What fuzzers reach tells them which input was new.
add_library(ptrain_fuzzed INTERFACE)
if(PTRAIN_FUZZERS)
  target_compile_options(ptrain_fuzzed INTERFACE -fsanitize=fuzzer-no-link)
endif()

find_program(PTRAIN_CCACHE ccache)
if(PTRAIN_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Another clone finds the same objects, and so does who includes a precompiled header.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
    CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1
    CCACHE_SLOPPINESS=pch_defines,time_macros ${PTRAIN_CCACHE})
endif()

find_program(PTRAIN_MOLD mold)
if(PTRAIN_MOLD AND NOT CMAKE_CROSSCOMPILING)  # a cross compiler looks for it among its own tools
  add_link_options(-fuse-ld=mold)
  execute_process(COMMAND ${PTRAIN_MOLD} --version OUTPUT_VARIABLE PTRAIN_MOLD_VERSION)
  string(REGEX MATCH "[0-9]+[.][0-9]+" PTRAIN_MOLD_VERSION "${PTRAIN_MOLD_VERSION}")
  # What mold 1 says is read-only after relocation begins some bytes before its segment. Where that is
  # the end of a page which is not there, the program cannot be loaded: one in some hundred. So tests do
  # without, and programs, which should have it, are linked by the usual linker.
  if(PTRAIN_MOLD_VERSION VERSION_LESS 2)
    add_link_options(-Wl,-z,norelro)
    set(PTRAIN_PROGRAM_LINK_OPTIONS -fuse-ld=bfd -Wl,-z,relro)
  endif()
endif()
