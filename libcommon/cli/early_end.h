// A command that ends before its work is done without that being an error: the checkpoint it
// was asked about is not there, or a signal came. run_program() turns it into the exit code.

#pragma once

#include <string>

namespace ptrain::cli {

struct EarlyEnd {
  int exit_code = 0;
  std::string text{};  // for stderr; empty where it was said already
  std::string hint{};  // what to do about it, where there is something
};

}  // namespace ptrain::cli
