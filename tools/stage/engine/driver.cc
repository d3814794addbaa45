#include "tools/stage/engine/driver.h"

#include <utility>

#include "tools/stage/engine/step_agreement.h"

namespace ptrain::stage {

std::optional<StageIndex> Driver::missing() const {
  for (std::uint32_t stage = 0; stage < stages_; ++stage) {
    if (!reports_.contains(StageIndex(stage))) return StageIndex(stage);
  }
  return std::nullopt;
}

wire::StepVerdict Driver::decide(Step step) {
  std::vector<wire::StepReport> reports;
  times_.clear();
  for (auto& [stage, report] : std::exchange(reports_, {})) {
    times_.push_back(report.time);
    reports.push_back(std::move(report));
  }
  wire::StepVerdict verdict = agree(step, reports, job_.optim.clip_norm, job_.tokens_per_step());
  in_flight_.measured(times_);
  verdict.in_flight = in_flight_.now();
  return verdict;
}

}  // namespace ptrain::stage
