// With how many threads a stage's share of a job computes fastest, by its shapes alone: never by
// the load of the machine or a measurement, so that the same job on the same machine is always
// computed alike. Pure.

#pragma once

#include <cstdint>

#include "libcommon/job/job.h"

namespace ptrain::job {

// Floating-point operations of the largest product of a microbatch that make a thread worth its
// while: threads meet at the end of every product. Measured, a step of two layers on one thread and
// on two, milliseconds, on a processor with AVX-512:
//
//   millions of operations   0.5   1.0   2.1   4.2   8.4    17    34    67
//   float32, one thread      0.4   0.7   1.1   2.1   5.9  12.7  18.0  45.6
//            two             1.0   1.2   1.7   2.5   5.7  10.4  14.2  33.0
//   bfloat16, one            0.4   0.7   1.0   1.7   4.2   9.1  12.1  28.5
//             two            1.0   1.2   1.5   2.0   3.9   6.8   9.1  18.9
//
// Where the processors have other work two lose more, because each waits for a turn of its own.
inline constexpr std::int64_t kOperationsPerThread = 8'000'000;

// Of the largest product in forward or backward: two for every element of the weight and token.
std::int64_t largest_product(const Job& job, const StageSpan& span);

// At least 1.
int useful_threads(const Job& job, const StageSpan& span);

}  // namespace ptrain::job
