// How fast this host encodes and decodes what crosses a border, with each codec that a job may
// name.

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "libcommon/base/clock.h"
#include "libcommon/job/job.h"
#include "libcommon/plan/compute_file.h"

namespace ptrain::stage {

// Rates in bytes as they cross, of the residual stream of one microbatch, each timed for `budget`.
std::map<std::string, plan::CodecRates, std::less<>> bench_codecs(const job::Job& job,
                                                                  std::int64_t micro,
                                                                  Duration budget);

}  // namespace ptrain::stage
