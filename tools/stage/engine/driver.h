// Who decides on steps: collects what the stages report, answers all of them alike, and keeps what
// they said of their time. Pure: any process that is given the same reports decides the same.

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "libcommon/base/units.h"
#include "libcommon/job/job.h"
#include "libcommon/wire/training.h"
#include "tools/stage/engine/in_flight_choice.h"

namespace ptrain::stage {

class Driver {
 public:
  // Borrows the job.
  Driver(const job::Job& job, std::uint32_t stages) : job_(job), stages_(stages), in_flight_(job) {}

  // Of the step that is decided next.
  void report(StageIndex stage, wire::StepReport report) { reports_[stage] = std::move(report); }
  // The first stage that has not reported; nullopt: all have.
  std::optional<StageIndex> missing() const;

  // Precondition: none is missing. Throws Error(corrupt) where the run has diverged.
  wire::StepVerdict decide(Step step);

  // Of the first stage in the step that is decided next; 0: as many as there are stages.
  std::uint32_t in_flight() const { return in_flight_.now(); }

  // Where the stages' time went, in all their steps up to the last decision.
  const std::vector<wire::StageTime>& times() const { return times_; }

 private:
  const job::Job& job_;
  std::uint32_t stages_;
  std::map<StageIndex, wire::StepReport> reports_;
  std::vector<wire::StageTime> times_;
  InFlightChoice in_flight_;
};

}  // namespace ptrain::stage
