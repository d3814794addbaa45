#include "libcommon/probe/claim_check.h"

#include <algorithm>

#include <fmt/format.h>

namespace ptrain::probe {
namespace {

// Entries closer than this are one: the last.
constexpr Duration kApart = std::chrono::milliseconds(10);

}  // namespace

void ClaimCheck::sent(TimePoint at, std::uint64_t bytes) {
  if (sent_.size() > 1 && at - sent_[sent_.size() - 2].at < kApart) {
    sent_.back().bytes = bytes;
  } else {
    sent_.push_back({at, bytes});
  }
}

TimePoint ClaimCheck::when_sent(std::uint64_t bytes) const {
  return std::ranges::lower_bound(sent_, bytes, {}, &Sent::bytes)->at;
}

std::optional<std::string> ClaimCheck::flaw_of(const wire::ProbeArrived& claim, TimePoint now) {
  const std::uint64_t bytes = claim.bytes.value();
  const std::uint64_t all = sent_.empty() ? 0 : sent_.back().bytes;
  if (bytes > all) {
    return fmt::format("it claims to have received {} bytes, and {} were sent", bytes, all);
  }
  if (bytes < last_.bytes.value() || claim.since < last_.since) {
    return fmt::format("it claims {} bytes after {:.3f} s, having claimed {} after {:.3f} s", bytes,
                       seconds(claim.since), last_.bytes.value(), seconds(last_.since));
  }
  if (sent_.empty()) return std::nullopt;
  if (!first_claim_) first_claim_ = now;
  const Duration at_most = now - sent_.front().at;
  if (claim.since > at_most + kClaimSlack) {
    return fmt::format("it claims that the first byte came {:.3f} s ago, sent {:.3f} s ago",
                       seconds(claim.since), seconds(at_most));
  }
  const Duration at_least = when_sent(bytes) - *first_claim_;
  if (claim.since + kClaimSlack < at_least) {
    return fmt::format("it claims {} bytes within {:.3f} s, which came in {:.3f} s or more", bytes,
                       seconds(claim.since), seconds(at_least));
  }
  last_ = claim;
  return std::nullopt;
}

}  // namespace ptrain::probe
