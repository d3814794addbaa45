// Who decides on steps: collects what the workers report, answers all of them alike, and keeps what
// they said of their time. Pure: any process that is given the same reports decides the same.

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "libcommon/base/units.h"
#include "libcommon/job/job.h"
#include "libcommon/job/layout.h"
#include "libcommon/wire/training.h"
#include "tools/stage/engine/in_flight_choice.h"

namespace ptrain::stage {

class Driver {
 public:
  // Borrows the job.
  Driver(const job::Job& job, job::Layout layout);

  // Of the step that is decided next.
  void report(WorkerIndex worker, wire::StepReport report);
  // The first worker that has not reported; nullopt: all have.
  std::optional<WorkerIndex> missing() const;

  // Precondition: none is missing. Throws Error(corrupt) where the run has diverged, and where the
  // holders of one stage do not hold the same: it names the one that differs from most.
  wire::StepVerdict decide(Step step);

  // Of the first stage in the step that is decided next; 0: as many as there are stages.
  std::uint32_t in_flight() const { return in_flight_.now(); }

  // The numerics classes that workers said they are of, once each, with who is of which.
  const std::map<std::string, std::vector<WorkerIndex>>& classes() const { return classes_; }

  // Where the time of each stage's leader went, in all its steps up to the last decision.
  const std::vector<wire::StageTime>& times() const { return times_; }

 private:
  void check_alike(Step step, StageIndex stage) const;
  std::vector<double> lane_losses() const;

  const job::Job& job_;
  job::Layout layout_;
  std::map<WorkerIndex, wire::StepReport> reports_;
  std::vector<wire::StageTime> times_;
  std::map<std::string, std::vector<WorkerIndex>> classes_;
  InFlightChoice in_flight_;
};

}  // namespace ptrain::stage
