# Compiler and linker flags of the project's own code, as one interface target.

add_library(ptrain_flags INTERFACE)
target_compile_options(ptrain_flags INTERFACE -Wall -Wextra -Wshadow -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # GCC 12 sees an overlap in "literal" + std::string at -O3 where there is none (its bug 105651).
  target_compile_options(ptrain_flags INTERFACE -Wno-restrict)
endif()
target_include_directories(ptrain_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_definitions(ptrain_flags INTERFACE PTRAIN_VERSION="${PROJECT_VERSION}")

if(PTRAIN_SANITIZE)
  target_compile_options(ptrain_flags INTERFACE
    -fsanitize=${PTRAIN_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(ptrain_flags INTERFACE -fsanitize=${PTRAIN_SANITIZE})
endif()

find_program(PTRAIN_CCACHE ccache)
if(PTRAIN_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${PTRAIN_CCACHE})
endif()

find_program(PTRAIN_MOLD mold)
if(PTRAIN_MOLD)
  add_link_options(-fuse-ld=mold)
endif()
