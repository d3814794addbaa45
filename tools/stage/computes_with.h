// What this ptrain-stage computes with, for --version: which libtorch, which library multiplies
// matrices, which devices are here. A report that lacks it cannot be told from another machine's.

#pragma once

#include <string>

namespace ptrain::stage {

// A line each, without the last line's end.
std::string computes_with();

}  // namespace ptrain::stage
