// Measures where a step's time goes.

#pragma once

#include "libcommon/base/clock.h"

namespace ptrain::stage {

// Adds the time between its construction and its destruction to a total.
class Stopwatch {
 public:
  Stopwatch(const Clock& clock, Duration& total)
      : clock_(clock), total_(total), begin_(clock.now()) {}
  ~Stopwatch() { total_ += clock_.now() - begin_; }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  const Clock& clock_;
  Duration& total_;
  TimePoint begin_;
};

}  // namespace ptrain::stage
