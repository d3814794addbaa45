// Whether what a receiver claims to have received can be. Pure.
//
// The receiver counts, so the sender must not take its word for more than was sent, nor for a time
// in which it cannot have come. An honest receiver is never named: the first byte came before the
// first claim did, and no byte came before it was sent.

#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/wire/probe.h"

namespace ptrain::probe {

// Clocks of two hosts differ by less in a test.
inline constexpr Duration kClaimSlack = std::chrono::milliseconds(100);

class ClaimCheck {
 public:
  // So much had been sent by then, in all.
  void sent(TimePoint at, std::uint64_t bytes);
  // What is wrong with a claim that came at that time; nullopt: it can be.
  std::optional<std::string> flaw_of(const wire::ProbeArrived& claim, TimePoint now);

 private:
  struct Sent {
    TimePoint at;
    std::uint64_t bytes;
  };
  // When as much had been sent.
  TimePoint when_sent(std::uint64_t bytes) const;

  std::vector<Sent> sent_;
  std::optional<TimePoint> first_claim_;
  wire::ProbeArrived last_{};
};

}  // namespace ptrain::probe
