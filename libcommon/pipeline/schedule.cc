#include "libcommon/pipeline/schedule.h"

#include <algorithm>

#include <fmt/format.h>

#include "libcommon/base/error.h"

namespace ptrain::pipeline {

std::uint32_t one_f_one_b_depth(std::uint32_t stages, StageIndex stage, std::uint32_t microbatches,
                                std::int64_t in_flight) {
  const std::int64_t stages_after = stages - 1 - stage.value();
  if (stages_after == 0) return 1;
  const std::int64_t first = in_flight == 0 ? stages : in_flight;
  const std::int64_t depth = 1 + (first - 1) * stages_after / (stages - 1);
  return static_cast<std::uint32_t>(std::min<std::int64_t>(depth, microbatches));
}

std::vector<Action> schedule(job::PipelineSchedule kind, std::uint32_t stages, StageIndex stage,
                             std::uint32_t microbatches, std::int64_t in_flight) {
  if (stage.value() >= stages || microbatches == 0 || in_flight < 0) {
    throw Error(ErrorKind::internal,
                fmt::format("schedule of stage {} of {}, {} microbatches, {} in flight",
                            stage.value(), stages, microbatches, in_flight));
  }
  const std::uint32_t depth = kind == job::PipelineSchedule::gpipe
                                  ? microbatches
                                  : one_f_one_b_depth(stages, stage, microbatches, in_flight);
  std::vector<Action> actions;
  actions.reserve(std::size_t{2} * microbatches);
  for (std::uint32_t i = 0; i < depth; ++i) actions.push_back({Op::forward, MicrobatchIndex(i)});
  for (std::uint32_t i = 0; i < microbatches; ++i) {
    actions.push_back({Op::backward, MicrobatchIndex(i)});
    if (depth + i < microbatches) actions.push_back({Op::forward, MicrobatchIndex(depth + i)});
  }
  return actions;
}

std::size_t peak_in_flight(const std::vector<Action>& actions) {
  std::size_t held = 0;
  std::size_t peak = 0;
  for (const Action& action : actions) {
    if (action.op == Op::forward) {
      peak = std::max(peak, ++held);
    } else {
      --held;
    }
  }
  return peak;
}

}  // namespace ptrain::pipeline
