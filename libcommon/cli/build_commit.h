// The commit that a program was built from. Its source is written anew at each build, and compiled
// and linked where the commit is another one (libcommon/cmake/commit.cmake, tools/CMakeLists.txt).

#pragma once

#include <string_view>

namespace ptrain::cli {

// Nine digits or more of its hash, with "-dirty" where a file differs; empty where it was not
// built in a checkout of git.
std::string_view build_commit();

}  // namespace ptrain::cli
