// What a stage is going to do, in a few lines before it does it. Pure.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "libcommon/base/units.h"
#include "libcommon/job/job.h"
#include "libcommon/metrics/step_record.h"
#include "tools/stage/engine/place.h"

namespace ptrain::stage {

struct RunOutline {
  const job::Job& job;
  Place place;
  job::StageSpan span;
  Step begin;
  std::uint32_t in_flight = 0;  // of the first stage, as in pipeline::schedule
  metrics::MemoryRecord memory;
  std::optional<std::uint64_t> windows;  // of data.train, where the stage has it
};

// Of a model or of what a stage holds of one.
std::uint64_t count_parameters(const std::vector<job::ParameterSpec>& parameters);

// The part of a step that equal stages on links that cost nothing wait.
double predicted_bubble(const job::Job& job, std::uint32_t stages, std::uint32_t in_flight);

// "stage 1 of 4: layers 4 to 6, 2.1 M of 8.5 M parameters, needs 140 MB of memory", and from the
// driver what the run is.
std::vector<std::string> outline(const RunOutline& run);

}  // namespace ptrain::stage
