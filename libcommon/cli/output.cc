#include "libcommon/cli/output.h"

#include <cerrno>
#include <cstdio>

#include "libcommon/base/error.h"

namespace ptrain::cli {
namespace {

[[noreturn]] void fail(int error_number) {
  if (error_number == EPIPE) throw OutputClosed();
  throw io_error("write to standard output", error_number);
}

}  // namespace

void write_output(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) fail(errno);
}

// A write that failed before, when the buffer was full, is no success either, though nothing is
// left to flush.
void flush_output() {
  if (std::fflush(stdout) != 0) fail(errno);
  if (std::ferror(stdout) != 0) fail(EIO);
}

}  // namespace ptrain::cli
