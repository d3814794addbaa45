// How far one stage is in one step: which operations are done, and which may be tried next. Pure.
//
// A schedule says in which order a stage had best work; what it can do now depends on what its
// neighbours have sent. So the next operation of the schedule is tried first, and, while it waits
// for a message, the next one of the other kind, within the depth that the schedule keeps. Forwards
// are done in microbatch order and so are backwards, whatever is tried: gradients add up in one
// order.

#pragma once

#include <cstdint>
#include <vector>

#include "libcommon/pipeline/schedule.h"

namespace ptrain::pipeline {

class StepProgress {
 public:
  // `schedule` is one stage's, of schedule.h.
  explicit StepProgress(std::vector<Action> schedule);

  // At most one forward and one backward, best first; none when the step is done.
  std::vector<Action> next() const;
  // Precondition: one of next().
  void did(const Action& action);

  bool done() const { return backwards_ == microbatches_; }
  // Microbatches that are held at most.
  std::uint32_t depth() const { return depth_; }
  // Microbatches whose forward is done and whose backward is not.
  std::uint32_t in_flight() const { return forwards_ - backwards_; }

 private:
  bool is_done(const Action& action) const;

  std::vector<Action> schedule_;
  std::uint32_t microbatches_;
  std::uint32_t depth_;
  std::uint32_t forwards_ = 0;
  std::uint32_t backwards_ = 0;
};

}  // namespace ptrain::pipeline
