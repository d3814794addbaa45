# Run at each build: writes OUTPUT, a source that says which commit of SOURCE is built, where it is
# another one than OUTPUT says already.
#
#   cmake -D SOURCE=DIR -D OUTPUT=FILE -P commit.cmake

# ptrain_git(RESULT ARGUMENT...): what git prints, or nothing. It takes no lock that somebody who
# works in the checkout meanwhile would meet.
function(ptrain_git result)
  execute_process(
    COMMAND ${CMAKE_COMMAND} -E env --unset=GIT_DIR --unset=GIT_WORK_TREE --unset=GIT_INDEX_FILE
      git -C ${SOURCE} --no-optional-locks ${ARGN}
    OUTPUT_VARIABLE printed OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  set(${result} "${printed}" PARENT_SCOPE)
endfunction()

set(commit "")
# A tarball within somebody's repository is no commit of that.
if(EXISTS ${SOURCE}/.git)
  ptrain_git(commit rev-parse --verify --quiet --short=9 HEAD)
  ptrain_git(changes status --porcelain --untracked-files=no)
  if(commit AND changes)
    string(APPEND commit -dirty)
  endif()
endif()
file(CONFIGURE OUTPUT ${OUTPUT} @ONLY CONTENT [[
#include "libcommon/cli/build_commit.h"

namespace ptrain::cli {

std::string_view build_commit() { return "@commit@"; }

}  // namespace ptrain::cli
]])
