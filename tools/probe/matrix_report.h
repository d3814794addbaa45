// A matrix of links for people. Pure.

#pragma once

#include <string>

#include "libcommon/probe/link_matrix.h"

namespace ptrain::probe_tool {

// A table of rates and one of round trips, a row for who sends and a column for who receives; then
// what each host has in all, and what failed and why.
std::string to_table(const probe::LinkMatrix& matrix);

}  // namespace ptrain::probe_tool
