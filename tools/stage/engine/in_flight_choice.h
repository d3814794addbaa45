// How many microbatches the first stage holds at once under pipeline.in_flight = "auto": as many as
// hide the round trips of the links, and no more than every stage has memory for. Pure.
//
// It changes no bit of the result, only who waits for whom. It never becomes less: buffers that a
// stage has had once, it keeps.

#pragma once

#include <cstdint>
#include <vector>

#include "libcommon/job/job.h"
#include "libcommon/wire/training.h"

namespace ptrain::stage {

class InFlightChoice {
 public:
  // Borrows nothing.
  explicit InFlightChoice(const job::Job& job);

  // What the stages have measured in all their steps before the one that is reported now.
  void measured(const std::vector<wire::StageTime>& stages);

  // As in pipeline::schedule: 0 is as many as there are stages.
  std::uint32_t now() const { return now_; }

 private:
  std::uint32_t wanted(const std::vector<wire::StageTime>& stages) const;

  std::uint32_t microbatches_;
  bool automatic_;
  std::uint32_t now_;
  std::uint64_t steps_ = 0;                // that were reported
  std::vector<wire::StageTime> baseline_;  // of the steps that do not count
};

}  // namespace ptrain::stage
