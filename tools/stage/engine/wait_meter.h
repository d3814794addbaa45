// How long a stage has waited, for whom and for what. Counts only grow. One thread.

#pragma once

#include <map>
#include <string>

#include "libcommon/base/clock.h"
#include "tools/stage/engine/activity.h"

namespace ptrain::stage {

class WaitMeter {
 public:
  // By what was waited for: "activation", "step verdict", "room", "sum over lanes", "checkpoint".
  using ByWhat = std::map<std::string, Duration>;

  void add(const Wait& wait, Duration time) {
    if (wait.what == Wait::For::disk) return;  // that is the checkpoint's
    const bool for_message = wait.what == Wait::For::message;
    total_ += time;
    if (for_message) by_kind_[wait.name.kind] += time;
    if (wait.what == Wait::For::sum) by_kind_[wire::MessageKind::reduce_part] += time;
    if (wait.whom) by_worker_[*wait.whom][what(wait)] += time;
  }
  Duration total() const { return total_; }
  Duration of(wire::MessageKind kind) const {
    const auto found = by_kind_.find(kind);
    return found == by_kind_.end() ? Duration::zero() : found->second;
  }
  // Where it was known for whom.
  const std::map<WorkerIndex, ByWhat>& by_worker() const { return by_worker_; }

 private:
  static std::string what(const Wait& wait) {
    if (wait.what == Wait::For::message) return std::string(wire::name_of(wait.name.kind));
    if (wait.what == Wait::For::sum) {
      return std::string(wire::name_of(wire::MessageKind::reduce_part));
    }
    return wait.what == Wait::For::room ? "room" : "checkpoint";
  }

  Duration total_{};
  std::map<wire::MessageKind, Duration> by_kind_;
  std::map<WorkerIndex, ByWhat> by_worker_;
};

}  // namespace ptrain::stage
