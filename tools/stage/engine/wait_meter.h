// How long a stage has waited, for whom and for what. Counts only grow. One thread.

#pragma once

#include <map>

#include "libcommon/base/clock.h"
#include "tools/stage/engine/activity.h"

namespace ptrain::stage {

class WaitMeter {
 public:
  void add(const Wait& wait, Duration time) {
    if (wait.what == Wait::For::disk) return;  // that is the checkpoint's
    total_ += time;
    if (wait.what == Wait::For::message) by_kind_[wait.name.kind] += time;
  }
  Duration total() const { return total_; }
  Duration of(wire::MessageKind kind) const {
    const auto found = by_kind_.find(kind);
    return found == by_kind_.end() ? Duration::zero() : found->second;
  }

 private:
  Duration total_{};
  std::map<wire::MessageKind, Duration> by_kind_;
};

}  // namespace ptrain::stage
