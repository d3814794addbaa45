// How much memory a stage will hold once it trains and saves: what it says at its start, so that
// who finds it ended for want of memory can tell what would have been enough. Pure.

#pragma once

#include <cstdint>

#include "libcommon/base/units.h"
#include "libcommon/job/job.h"
#include "libcommon/metrics/step_record.h"

namespace ptrain::stage {

// float32: value and two moments of every parameter, and a gradient in each lane; in bfloat16 a
// copy of the value for the products. A checkpoint, which the lowest lane's holder writes, copies
// value and moments.
inline constexpr std::uint64_t kStateBytes = 3 * 4;
inline constexpr std::uint64_t kAverageBytes = 4;  // where weights are averaged
inline constexpr std::uint64_t kGradientBytes = 4;
inline constexpr std::uint64_t kComputeCopyBytes = 2;
inline constexpr std::uint64_t kSnapshotBytes = 3 * 4;

inline metrics::MemoryRecord memory_need(std::uint64_t parameters, job::ComputePrecision precision,
                                         std::uint64_t lanes, bool saves, ByteCount activations,
                                         bool averages = false) {
  const bool copies = precision == job::ComputePrecision::bfloat16;
  const std::uint64_t average = averages ? kAverageBytes : 0;
  const std::uint64_t state = parameters * (kStateBytes + average + lanes * kGradientBytes +
                                            (copies ? kComputeCopyBytes : 0));
  const std::uint64_t snapshot = saves ? parameters * (kSnapshotBytes + average) : 0;
  return {.step = 0,
          .needed_bytes = state + snapshot + activations.value(),
          .state_bytes = state,
          .snapshot_bytes = snapshot,
          .activation_bytes = activations.value()};
}

}  // namespace ptrain::stage
