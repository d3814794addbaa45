#include "libcommon/pipeline/step_progress.h"

#include <algorithm>
#include <utility>

namespace ptrain::pipeline {

StepProgress::StepProgress(std::vector<Action> schedule)
    : schedule_(std::move(schedule)),
      microbatches_(static_cast<std::uint32_t>(schedule_.size() / 2)),
      depth_(static_cast<std::uint32_t>(peak_in_flight(schedule_))) {
  std::reverse(schedule_.begin(), schedule_.end());  // what is next is at the end
}

bool StepProgress::is_done(const Action& action) const {
  return action.microbatch.value() < (action.op == Op::forward ? forwards_ : backwards_);
}

std::vector<Action> StepProgress::next() const {
  if (done()) return {};
  const Action forward{Op::forward, MicrobatchIndex(forwards_)};
  const Action backward{Op::backward, MicrobatchIndex(backwards_)};
  std::vector<Action> actions;
  if (forwards_ < microbatches_ && in_flight() < depth_) actions.push_back(forward);
  if (backwards_ < forwards_) actions.push_back(backward);
  if (actions.size() == 2 && schedule_.back() == backward) std::swap(actions[0], actions[1]);
  return actions;
}

void StepProgress::did(const Action& action) {
  ++(action.op == Op::forward ? forwards_ : backwards_);
  while (!schedule_.empty() && is_done(schedule_.back())) schedule_.pop_back();
}

}  // namespace ptrain::pipeline
