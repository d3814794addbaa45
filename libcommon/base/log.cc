#include "libcommon/base/log.h"

#include <cstdio>

#include "libcommon/base/printable.h"
#include "libcommon/base/quiet.h"

namespace ptrain {
namespace {

// One write per line, so that lines of several threads and processes do not mix. What is in it may
// be a peer's text.
void write_line(std::string_view program, std::string_view label, std::string_view line) {
  std::string text;
  text.append(program).append(": ").append(label).append(printable(line)).append("\n");
  std::fwrite(text.data(), 1, text.size(), stderr);
}

}  // namespace

void StderrLog::info(std::string_view line) {
  if (!is_quiet()) write_line(program_, "", line);
}
void StderrLog::warning(std::string_view line) { write_line(program_, "warning: ", line); }

}  // namespace ptrain
