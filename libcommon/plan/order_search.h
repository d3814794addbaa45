// A search among thousands of hosts, for which nothing is proved: tests hold it against exhaustive
// search and against problems whose best choice was planted. Pure; its random numbers are seeded.

#pragma once

#include <cstddef>

#include "libcommon/plan/search.h"

namespace ptrain::plan {

// Improves `best`. It grows chains of hosts for a range of paces, each host next to one that it has
// a good link to; changes the most promising ones by what quick_step_s() says; and the best of
// those by what the simulator says.
void search_orders(const Costs& costs, std::size_t micro, FoundBySize& best);

}  // namespace ptrain::plan
