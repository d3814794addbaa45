#include "libcommon/probe/send_window.h"

#include <algorithm>

namespace ptrain::probe {
namespace {

// A rate is that of so long at least: acknowledgements come in lumps.
constexpr Duration kRateTime = std::chrono::milliseconds(50);

}  // namespace

void SendWindow::acknowledged(std::uint64_t bytes, TimePoint now) {
  // What waits for the peer besides makes it seem that less had been acknowledged than before.
  if (!recent_.empty()) bytes = std::max(bytes, recent_.back().bytes);
  recent_.push_back({now, bytes});
  while (recent_.size() > 2 && now - recent_[1].at >= kRateTime) recent_.pop_front();
  const Duration passed = now - recent_.front().at;
  if (passed < kRateTime) return;
  const auto came = static_cast<double>(bytes - recent_.front().bytes);
  best_bytes_per_s_ = std::max(best_bytes_per_s_, came / seconds(passed));
}

std::uint64_t SendWindow::bytes() const {
  const double wanted = 2 * best_bytes_per_s_ * seconds(round_trip_ + kAcknowledgementDelay);
  const auto bounded = std::min(wanted, static_cast<double>(kMostWindowBytes));
  return std::max(kLeastWindowBytes, static_cast<std::uint64_t>(bounded));
}

}  // namespace ptrain::probe
