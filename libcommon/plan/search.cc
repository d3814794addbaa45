#include "libcommon/plan/search.h"

#include <algorithm>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/plan/cutter.h"
#include "libcommon/plan/exact_search.h"
#include "libcommon/plan/order_search.h"

namespace ptrain::plan {

FoundBySize search(const Problem& problem, SearchMode mode) {
  const Costs costs(problem);
  if (mode == SearchMode::exact &&
      (problem.hosts.size() > kMostExactHosts || problem.units() > kMostExactUnits)) {
    throw Error(ErrorKind::usage,
                fmt::format("an exact search of {} hosts and {} places to cut: at most {} and {}",
                            problem.hosts.size(), problem.units() - 1, kMostExactHosts,
                            kMostExactUnits - 1),
                "leave --exact out: what is found otherwise is a few percent from the best");
  }
  FoundBySize best(std::min(problem.hosts.size(), problem.units()));
  for (std::size_t micro = 0; micro < problem.micros.size(); ++micro) {
    search_orders(costs, micro, best);
    if (mode == SearchMode::exact) search_all(costs, micro, best);
  }
  return best;
}

const Found* preferred(const FoundBySize& found) {
  double least_s = std::numeric_limits<double>::infinity();
  for (const std::optional<Found>& each : found) {
    if (each) least_s = std::min(least_s, each->worth.step_s);
  }
  for (const std::optional<Found>& each : found) {
    if (each && least_s >= (1 - kWorthAHost) * each->worth.step_s) return &*each;
  }
  return nullptr;
}

}  // namespace ptrain::plan
