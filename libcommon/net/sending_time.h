// How long what we send to a peer is on its way, as that of a line which sends one thing after the
// other: from when it is handed over, or from when the one before it was through, until it is
// acknowledged, less a round trip. So a long line that is idle is not taken for a busy one, however
// many round trips there are. Pure.

#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "libcommon/base/clock.h"

namespace ptrain::net {

class SendingTime {
 public:
  // The peer acknowledges so much later than it could.
  explicit SendingTime(Duration acknowledgement_delay) : delay_(acknowledgement_delay) {}

  // `taken` of all bytes have been handed over and `acknowledged` of them have arrived; both begin
  // again from 0 with another process. The shortest round trip seen counts: others have queued.
  void observe(std::uint64_t taken, std::uint64_t acknowledged, std::optional<Duration> round_trip,
               TimePoint now);

  Duration busy() const { return busy_; }
  std::uint64_t bytes() const { return bytes_; }  // that arrived

 private:
  struct Sent {
    std::uint64_t end;  // bytes handed over with it and before it
    TimePoint at;
  };

  Duration delay_;
  std::deque<Sent> under_way_;
  std::uint64_t taken_ = 0;
  std::uint64_t acknowledged_ = 0;
  std::optional<Duration> shortest_;
  TimePoint through_{};  // when the last that arrived was, as far as is known
  Duration busy_{};
  std::uint64_t bytes_ = 0;
};

}  // namespace ptrain::net
