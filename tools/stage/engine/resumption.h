// The stages agree on where to begin, before the first step. Borrows the checkpointer. One thread.

#pragma once

#include <optional>

#include "tools/stage/engine/activity.h"
#include "tools/stage/engine/checkpointer.h"

namespace ptrain::stage {

class Resumption : public Activity {
 public:
  Resumption(Checkpointer& checkpointer, const ResumeMode& mode, const JobData* data)
      : checkpointer_(checkpointer) {
    checkpointer_.begin_resume(mode, data);
  }

  // Precondition: done().
  const wire::ResumeChoice& choice() const { return *choice_; }

  bool done() const override { return choice_.has_value(); }
  bool advance() override {
    choice_ = checkpointer_.resume();
    return done();
  }
  Wait waits_for() const override { return checkpointer_.resume_waits_for(); }
  void await_disk(Duration at_most) override { checkpointer_.await_disk(at_most); }
  std::string under_way() const override { return "the wait for " + to_string(waits_for()); }
  Duration may_take() const override {
    const bool seals = waits_for().what != Wait::For::message;
    return seals ? kFinishCheckpointWithin : kFinishStepWithin;
  }

 private:
  Checkpointer& checkpointer_;
  std::optional<wire::ResumeChoice> choice_;
};

}  // namespace ptrain::stage
