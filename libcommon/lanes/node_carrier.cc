#include "libcommon/lanes/node_carrier.h"

#include <algorithm>

namespace ptrain::lanes {

bool NodeCarrier::send(reduce::MemberIndex to, wire::Message message) {
  return node_.send(members_.at(to.value()), wire::Urgency::reduce, std::move(message));
}

std::optional<reduce::MemberIndex> NodeCarrier::member_of(const net::WorkerId& peer) const {
  const auto found = std::find(members_.begin(), members_.end(), peer);
  if (found == members_.end()) return std::nullopt;
  return reduce::MemberIndex(static_cast<std::uint32_t>(found - members_.begin()));
}

}  // namespace ptrain::lanes
