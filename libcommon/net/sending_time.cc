#include "libcommon/net/sending_time.h"

#include <algorithm>

namespace ptrain::net {

void SendingTime::observe(std::uint64_t taken, std::uint64_t acknowledged,
                          std::optional<Duration> round_trip, TimePoint now) {
  if (round_trip) shortest_ = std::min(shortest_.value_or(*round_trip), *round_trip);
  if (taken < taken_ || acknowledged < acknowledged_) {
    under_way_.clear();
    taken_ = acknowledged_ = 0;
  }
  if (taken > taken_) under_way_.push_back({taken, now});
  taken_ = taken;
  bytes_ += acknowledged - acknowledged_;
  acknowledged_ = acknowledged;
  while (!under_way_.empty() && under_way_.front().end <= acknowledged) {
    const TimePoint begun = std::max(through_, under_way_.front().at);
    under_way_.pop_front();
    if (!shortest_) continue;
    const TimePoint through = now - *shortest_ - delay_;
    if (through <= begun) continue;
    busy_ += through - begun;
    through_ = through;
  }
}

}  // namespace ptrain::net
