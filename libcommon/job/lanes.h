// Which microbatches of a step a lane computes: a contiguous share, as even as whole microbatches
// allow. Pure.

#pragma once

#include <cstdint>
#include <vector>

#include "libcommon/base/units.h"

namespace ptrain::job {

inline constexpr std::int64_t kMaxLanes = 4096;

// Microbatches [first, first + count) of a step.
struct MicrobatchRange {
  MicrobatchIndex first;
  std::uint32_t count = 0;

  bool operator==(const MicrobatchRange&) const = default;
};

// The share of `lane` of so many lanes; where they do not divide evenly, the first lanes have one
// microbatch more. Throws Error(internal) unless 1 <= lanes <= microbatches and lane < lanes.
MicrobatchRange share_of_lane(std::uint32_t microbatches, std::uint32_t lanes, LaneIndex lane);

// Whose share has the microbatch. Throws Error(internal) for one that the step has not.
LaneIndex lane_of(std::uint32_t microbatches, std::uint32_t lanes, MicrobatchIndex microbatch);

}  // namespace ptrain::job
