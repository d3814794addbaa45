// Of programs of the tests, which are not linked anew at each commit. The programs themselves are
// linked with a definition of their own, so that the linker does not take this one.
#include "libcommon/cli/build_commit.h"

namespace ptrain::cli {

std::string_view build_commit() { return ""; }

}  // namespace ptrain::cli
