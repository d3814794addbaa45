// Whether a gateway has forgotten its mappings: its seconds since then, beside our own clock (RFC
// 6887, 8.5; RFC 6886, 3.6). Pure.

#pragma once

#include <cstdint>
#include <optional>

#include "libcommon/base/clock.h"

namespace ptrain::punch {

class Epoch {
 public:
  // Of each answer; true where the gateway began anew since the last one.
  bool restarted(std::uint32_t epoch_s, TimePoint now) {
    const auto before = before_;
    before_ = Seen{epoch_s, now};
    if (!before) return false;
    // Both clocks may be wrong by a sixteenth, and by two seconds for what rounding and the way do.
    const double server = static_cast<double>(epoch_s) - static_cast<double>(before->epoch_s);
    const double client = seconds(now - before->at);
    if (server < -1) return true;
    return server + 2 < client - client / 16;
  }
  void forget() { before_.reset(); }

 private:
  struct Seen {
    std::uint32_t epoch_s;
    TimePoint at;
  };
  std::optional<Seen> before_;
};

}  // namespace ptrain::punch
