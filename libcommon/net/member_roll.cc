#include "libcommon/net/member_roll.h"

#include <algorithm>
#include <utility>

namespace ptrain::net {

void MemberRoll::seen(std::size_t relay, const WorkerId& member) {
  auto& members = relays_[relay].members;
  if (members.size() >= kMostOnRoll && !members.contains(member)) return;
  members[member] = TimePoint::max();
  touched_.insert(member);
}

void MemberRoll::gone(std::size_t relay, const WorkerId& member) {
  if (relays_[relay].members.erase(member) > 0) touched_.insert(member);
}

void MemberRoll::unlisted(std::size_t relay, const WorkerId& member, TimePoint now) {
  const auto known = relays_[relay].members.find(member);
  if (known == relays_[relay].members.end()) return;
  known->second = std::min(known->second, now + kWordHolds);
  next_end_ = std::min(next_end_, known->second);
}

void MemberRoll::speaks(std::size_t relay, TimePoint now) {
  auto& [members, since] = relays_[relay];
  if (since) return;
  since = now;
  // Whom it has is yet to be said.
  for (auto& [member, ends] : members) {
    if (ends != TimePoint::max()) ends = std::max(ends, now + kWordHolds);
  }
}

void MemberRoll::is_silent(std::size_t relay, TimePoint now) {
  if (!std::exchange(relays_[relay].speaks_since, std::nullopt)) return;
  for (auto& [member, ends] : relays_[relay].members) ends = std::min(ends, now + kWordHolds);
  if (!relays_[relay].members.empty()) next_end_ = std::min(next_end_, now + kWordHolds);
}

TimePoint MemberRoll::known_since() const {
  TimePoint since = TimePoint::max();
  for (const Relay& relay : relays_) {
    if (relay.speaks_since) since = std::min(since, *relay.speaks_since + kWordHolds);
  }
  return since;
}

bool MemberRoll::is_there(const WorkerId& member) const {
  return std::ranges::any_of(relays_,
                             [&](const Relay& each) { return each.members.contains(member); });
}

TimePoint MemberRoll::next_tick() const {
  return next_end_ == TimePoint::max() ? next_end_ : std::max(next_end_, known_since());
}

std::vector<MemberRoll::News> MemberRoll::take_news(TimePoint now) {
  if (now >= next_tick()) {
    next_end_ = TimePoint::max();
    for (Relay& relay : relays_) {
      std::erase_if(relay.members, [&](const auto& entry) {
        if (entry.second > now) next_end_ = std::min(next_end_, entry.second);
        if (entry.second <= now) touched_.insert(entry.first);
        return entry.second <= now;
      });
    }
  }
  std::vector<News> news;
  for (const WorkerId& member : std::exchange(touched_, {})) {
    const bool there = is_there(member);
    const bool changed = there ? told_.insert(member).second : told_.erase(member) > 0;
    if (changed) news.push_back({member, there});
  }
  return news;
}

}  // namespace ptrain::net
