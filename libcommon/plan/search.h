// Looks for the choice that makes the shortest step: which hosts, in which order, cut where. Pure,
// and the same for the same problem on every machine: it counts its work, it has no clock.

#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "libcommon/plan/problem.h"

namespace ptrain::plan {

// With fewer hosts less can fail: they win where the speed is within this part of the best.
inline constexpr double kWorthAHost = 0.02;
// An exhaustive search takes no more hosts and units than these.
inline constexpr std::size_t kMostExactHosts = 8;
inline constexpr std::size_t kMostExactUnits = 32;

enum class SearchMode {
  heuristic,  // thousands of hosts
  exact,      // every choice but those that a bound rules out
};

struct Found {
  Choice choice;
  Worth worth;
};

// The best that was found with one host, with two, and so on; empty: none, or none was looked at.
using FoundBySize = std::vector<std::optional<Found>>;

// Throws Error(usage) for an exact search of too much.
FoundBySize search(const Problem& problem, SearchMode mode);

// The one with the fewest hosts whose speed is within kWorthAHost of the fastest; nullptr: none.
const Found* preferred(const FoundBySize& found);

}  // namespace ptrain::plan
