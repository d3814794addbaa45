#include "libcommon/pipeline/automatic_depth.h"

#include <algorithm>

#include "libcommon/pipeline/schedule.h"
#include "libcommon/pipeline/simulator.h"

namespace ptrain::pipeline {
namespace {

// A round trip that takes no larger a part of a microbatch's time costs less than the memory that
// would hide it.
constexpr double kNegligible = 0.1;

}  // namespace

std::uint32_t automatic_depth(const DepthCost& cost, std::uint32_t microbatches,
                              const std::function<bool(StageIndex, std::uint32_t)>& fits) {
  const auto stages = static_cast<std::uint32_t>(cost.round_trips_s.size() + 1);
  double longest_s = 0;
  PipelineCost alike{.stages = {stages, {.forward_s = cost.period_s}}, .links = {}};
  for (const double round_trip_s : cost.round_trips_s) {
    longest_s = std::max(longest_s, round_trip_s);
    alike.links.push_back({.latency_s = round_trip_s / 2});
  }
  if (longest_s <= kNegligible * cost.period_s) return stages;
  std::uint32_t want = std::min(static_cast<std::uint32_t>(in_flight_for_round_trip(alike)),
                                std::max(stages, microbatches));
  const auto all_fit = [&](std::uint32_t depth) {
    for (std::uint32_t stage = 0; stage < stages; ++stage) {
      const StageIndex index(stage);
      if (!fits(index, one_f_one_b_depth(stages, index, microbatches, depth))) return false;
    }
    return true;
  };
  while (want > stages && !all_fit(want)) --want;
  return want;
}

}  // namespace ptrain::pipeline
