#include "libcommon/base/log.h"

#include <cstdio>

namespace ptrain {
namespace {

// One write per line, so that lines of several threads and processes do not mix.
void write_line(std::string_view program, std::string_view label, std::string_view line) {
  std::string text;
  text.append(program).append(": ").append(label).append(line).append("\n");
  std::fwrite(text.data(), 1, text.size(), stderr);
}

}  // namespace

void StderrLog::info(std::string_view line) { write_line(program_, "", line); }
void StderrLog::warning(std::string_view line) { write_line(program_, "warning: ", line); }

}  // namespace ptrain
