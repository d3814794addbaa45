#include "libcommon/job/lanes.h"

#include <algorithm>

#include <fmt/format.h>

#include "libcommon/base/error.h"

namespace ptrain::job {
namespace {

void check(std::uint32_t microbatches, std::uint32_t lanes) {
  if (lanes >= 1 && lanes <= microbatches) return;
  throw Error(ErrorKind::internal, fmt::format("{} lanes of {} microbatches", lanes, microbatches));
}

}  // namespace

MicrobatchRange share_of_lane(std::uint32_t microbatches, std::uint32_t lanes, LaneIndex lane) {
  check(microbatches, lanes);
  if (lane.value() >= lanes) {
    throw Error(ErrorKind::internal, fmt::format("lane {} of {}", lane.value(), lanes));
  }
  const std::uint32_t least = microbatches / lanes;
  const std::uint32_t larger = microbatches % lanes;  // lanes that have one more
  return {.first = MicrobatchIndex(lane.value() * least + std::min(lane.value(), larger)),
          .count = least + (lane.value() < larger ? 1 : 0)};
}

LaneIndex lane_of(std::uint32_t microbatches, std::uint32_t lanes, MicrobatchIndex microbatch) {
  check(microbatches, lanes);
  if (microbatch.value() >= microbatches) {
    throw Error(ErrorKind::internal,
                fmt::format("microbatch {} of {}", microbatch.value(), microbatches));
  }
  const std::uint32_t least = microbatches / lanes;
  const std::uint32_t larger = microbatches % lanes;
  const std::uint32_t in_larger = larger * (least + 1);
  if (microbatch.value() < in_larger) return LaneIndex(microbatch.value() / (least + 1));
  return LaneIndex(larger + (microbatch.value() - in_larger) / least);
}

}  // namespace ptrain::job
