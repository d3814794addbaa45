// A command that ends before its work is done without that being an error: the checkpoint it
// was asked about is not there, or a signal came. main turns it into the exit code.

#pragma once

#include <string>

namespace ptrain::ckpt_tool {

struct EarlyEnd {
  int exit_code = 0;
  std::string text;  // for stderr; empty where it was said already
};

}  // namespace ptrain::ckpt_tool
