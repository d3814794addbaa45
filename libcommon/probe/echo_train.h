// Echoes that are asked for one after the other, and how long each took. Pure.

#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "libcommon/base/clock.h"

namespace ptrain::probe {

class EchoTrain {
 public:
  // Numbers follow `before`; the first `warm_up` are not counted.
  EchoTrain(std::uint64_t before, Duration interval, std::size_t warm_up = 0)
      : number_(before), first_counted_(before + warm_up + 1), interval_(interval) {}

  bool due(TimePoint now) const { return now >= next_at_; }
  TimePoint next_at() const { return next_at_; }
  // The number of the next echo, which is asked for now.
  std::uint64_t ask(TimePoint now);
  // What is wrong with that answer; nullopt: it was asked for.
  std::optional<std::string> answered(std::uint64_t number, TimePoint now);

  std::uint64_t last_number() const { return number_; }
  std::size_t under_way() const { return asked_.size(); }
  const std::vector<Duration>& measured() const { return measured_; }

 private:
  std::uint64_t number_;
  std::uint64_t first_counted_;
  Duration interval_;
  TimePoint next_at_{};
  std::map<std::uint64_t, TimePoint> asked_;
  std::vector<Duration> measured_;
};

}  // namespace ptrain::probe
