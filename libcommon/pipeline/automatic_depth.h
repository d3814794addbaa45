// How many microbatches the first stage holds at once under pipeline.in_flight = "auto": what a
// running job chooses from what it has measured, and a plan from what it predicts. Pure.

#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "libcommon/base/units.h"

namespace ptrain::pipeline {

// Of the memory that is left beside all that a stage needs, one part in so many is for more
// microbatches: other stages may be on its host, and other programs want some, too.
inline constexpr std::uint64_t kMemoryPartsForDepth = 4;

struct DepthCost {
  double period_s = 0;  // the longest that a stage or a way of a link is busy with a microbatch
  // Of each link, with the time that a microbatch and its gradient are on it.
  std::vector<double> round_trips_s;
};

// As many as hide the round trips, at most `microbatches`, and no more than each stage has memory
// for: `fits` is asked whether a stage can hold so many. The number of stages, for which every job
// has room, where the round trips are too short to matter.
std::uint32_t automatic_depth(const DepthCost& cost, std::uint32_t microbatches,
                              const std::function<bool(StageIndex, std::uint32_t)>& fits);

}  // namespace ptrain::pipeline
