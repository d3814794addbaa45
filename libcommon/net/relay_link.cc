#include "libcommon/net/relay_link.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace ptrain::net {

RelayLink::RelayLink(std::unique_ptr<ControlLink> link, MembershipOptions membership)
    : link_(std::move(link)), membership_(std::move(membership)) {}

void RelayLink::leave() {
  if (!link_->connected()) return;
  if (const auto farewell = membership_.farewell()) link_->send(*farewell);
}

TimePoint RelayLink::next_tick() const {
  return link_->connected() ? std::min(link_->next_tick(), membership_.next_tick())
                            : link_->next_tick();
}

std::vector<membership::Event> RelayLink::process(TimePoint now) {
  std::vector<membership::Event> events;
  const bool was_connected = link_->connected();
  for (const Answer& answer : link_->process(now)) {
    std::ranges::move(membership_.take(answer, now), std::back_inserter(events));
  }
  if (link_->connected() && !was_connected) membership_.connected(now);
  if (link_->connected() && membership_.overdue(now)) {
    membership_.answer_was_overdue();
    link_->hang_up(now, "it does not answer");
  }
  if (!link_->connected()) membership_.lost();
  while (link_->connected()) {
    const auto request = membership_.next_request(now);
    if (!request) break;
    link_->send(*request);
  }
  return events;
}

}  // namespace ptrain::net
