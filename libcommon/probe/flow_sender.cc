#include "libcommon/probe/flow_sender.h"

#include <algorithm>
#include <utility>

#include "libcommon/net/credit.h"
#include "libcommon/probe/probing.h"

namespace ptrain::probe {
namespace {

constexpr std::size_t kLeastPayload = 1u << 10;
constexpr std::size_t kUsualPayload = 4u << 10;  // while nothing is known of the link
// A message is what the link carries in so long: short beside a bin of the estimate.
constexpr Duration kMessageTime = std::chrono::milliseconds(10);
// What has been acknowledged is looked at so often.
constexpr Duration kTurn = std::chrono::milliseconds(2);

wire::Buffer bytes_to_send() {
  wire::MutableBuffer bytes(wire::kMaxProbeBytes);
  std::ranges::fill(bytes.bytes(), std::byte{0});
  return std::move(bytes).freeze();
}

}  // namespace

FlowSender::FlowSender(net::Node& node, Flow flow, TimePoint now)
    : node_(node),
      flow_(std::move(flow)),
      begun_(now),
      window_(flow_.round_trip),
      bytes_(bytes_to_send()) {}

std::size_t FlowSender::next_payload() const {
  double rate = window_.rate_bytes_per_s();
  const auto limit = static_cast<double>(flow_.limits.rate_bytes_per_s);
  if (limit > 0) rate = std::min(rate, limit);
  const auto wanted = static_cast<std::size_t>(rate * seconds(kMessageTime));
  const std::size_t least =
      limit > 0 && limit * seconds(kMessageTime) < kUsualPayload ? kLeastPayload : kUsualPayload;
  const std::size_t payload = std::clamp(wanted, least, wire::kMaxProbeBytes);
  const std::uint64_t left = flow_.limits.bytes.value() - sent_;
  if (left < carried(1)) return 0;
  return std::min<std::uint64_t>(payload, left - kCarriedBesides);
}

bool FlowSender::pace_allows(std::uint64_t bytes, TimePoint now) const {
  if (flow_.limits.rate_bytes_per_s == 0) return true;
  const double allowed = static_cast<double>(flow_.limits.rate_bytes_per_s) * seconds(now - begun_);
  return static_cast<double>(sent_ + bytes) <= allowed;
}

void FlowSender::pump(TimePoint now) {
  if (over_) return;
  const std::uint64_t queued = node_.queued(flow_.to).value();
  window_.acknowledged(cost_ - std::min(cost_, queued), now);
  std::uint64_t under_way = queued;
  while (true) {
    const std::size_t payload = next_payload();
    if (payload == 0 || now - begun_ >= flow_.limits.time) return halt();
    const std::uint64_t cost = net::message_cost(payload);
    if (under_way + cost > window_.bytes() || !pace_allows(carried(payload), now)) return;
    const bool taken = node_.send(flow_.to, wire::Urgency::pipeline,
                                  wire::probe_bytes_message(flow_.test, bytes_.slice(0, payload)));
    if (!taken) return;  // it is lost, which its owner hears
    sent_ += carried(payload);
    cost_ += cost;
    under_way += cost;
  }
}

Duration FlowSender::patience(TimePoint now) const {
  const TimePoint ends = begun_ + flow_.limits.time;
  return std::clamp<Duration>(ends - now, Duration::zero(), kTurn);
}

}  // namespace ptrain::probe
