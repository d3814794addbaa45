// When a checkpoint is due by the clock. Only the driver asks: its answer goes to all stages with
// the step's verdict, so that all of them save the same steps, and no other clock has a say.

#pragma once

#include <chrono>
#include <cstdint>

#include "libcommon/base/clock.h"

namespace ptrain::stage {

class SavePace {
 public:
  // 0: never by the clock.
  SavePace(std::uint64_t every_s, TimePoint now)
      : every_(std::chrono::seconds(every_s)), last_(now) {}

  void saved(TimePoint now) { last_ = now; }

  // Nothing is due while an earlier save is under way: on a disk that is slower than the interval,
  // training would stand still for it.
  bool due(TimePoint now, bool saving) const {
    return every_ > Duration::zero() && !saving && now - last_ >= every_;
  }

 private:
  Duration every_;
  TimePoint last_;
};

}  // namespace ptrain::stage
