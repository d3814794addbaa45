// How long each kind of block takes here, and what it keeps: parts of one layer between an
// embedding and a head, one after the other as in a step, so that each finds the caches as the
// others leave them. What a plan composes any cut from (ptrain-plan(5), COMPUTE).

#pragma once

#include <cstddef>
#include <cstdint>

#include <ATen/ATen.h>

#include "libcommon/base/clock.h"
#include "libcommon/base/units.h"
#include "libcommon/job/job.h"
#include "libcommon/plan/compute_file.h"

namespace ptrain::stage {

struct BlockBench {
  plan::PerKind<plan::BlockCompute> blocks;  // medians, in seconds
  ByteCount held;        // parameters, gradients, moments, and what is kept of a microbatch
  std::size_t laps = 0;  // how often each part was timed
};

// With microbatches of `micro` sequences, for about `budget`, and three times at the least.
BlockBench bench_blocks(const job::Job& job, std::int64_t micro, at::Device device,
                        Duration budget);

}  // namespace ptrain::stage
