#include "libcommon/net/member_roll.h"

#include <algorithm>
#include <utility>

namespace ptrain::net {

void MemberRoll::seen(std::size_t relay, const WorkerId& member) {
  auto& members = relays_[relay].members;
  if (members.size() < kMostOnRoll && members.insert(member).second) touched_.insert(member);
}

void MemberRoll::gone(std::size_t relay, const WorkerId& member) {
  if (relays_[relay].members.erase(member) > 0) touched_.insert(member);
}

void MemberRoll::is_silent(std::size_t relay, TimePoint now) {
  auto& since = relays_[relay].silent_since;
  if (!since) since = now;
}

bool MemberRoll::anyone_speaks() const {
  return std::ranges::any_of(relays_, [](const Relay& each) { return !each.silent_since; });
}

bool MemberRoll::is_there(const WorkerId& member) const {
  return std::ranges::any_of(relays_,
                             [&](const Relay& each) { return each.members.contains(member); });
}

std::vector<MemberRoll::News> MemberRoll::take_news(TimePoint now) {
  for (Relay& relay : relays_) {
    if (!relay.silent_since || now < *relay.silent_since + kWordHolds || !anyone_speaks()) continue;
    touched_.merge(relay.members);
    relay.members.clear();
  }
  std::vector<News> news;
  for (const WorkerId& member : std::exchange(touched_, {})) {
    const bool there = is_there(member);
    const bool changed = there ? told_.insert(member).second : told_.erase(member) > 0;
    if (changed) news.push_back({member, there});
  }
  return news;
}

TimePoint MemberRoll::next_tick() const {
  TimePoint next = TimePoint::max();
  if (!anyone_speaks()) return next;
  for (const Relay& relay : relays_) {
    if (relay.silent_since && !relay.members.empty()) {
      next = std::min(next, *relay.silent_since + kWordHolds);
    }
  }
  return next;
}

}  // namespace ptrain::net
