// Every choice of hosts, order and cuts, but those that a bound rules out. Pure.

#pragma once

#include <cstddef>

#include "libcommon/plan/search.h"

namespace ptrain::plan {

// Improves `best`, which may hold what a quicker search has found.
void search_all(const Costs& costs, std::size_t micro, FoundBySize& best);

}  // namespace ptrain::plan
