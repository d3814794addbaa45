#include "tools/relay/control/journal.h"

#include <algorithm>

namespace ptrain::relay {

Journal::Journal(std::uint64_t first, std::size_t max_gone)
    : max_gone_(max_gone), floor_(std::max<std::uint64_t>(first, 1)), latest_(floor_) {}

void Journal::came(const Member& member) { enter(member, false); }

void Journal::went(const Member& member) {
  enter(member, true);
  gone_.insert(latest_);
  if (gone_.size() <= max_gone_) return;
  floor_ = *gone_.begin();
  const auto oldest = entries_.find(floor_);
  numbers_.erase(oldest->second.member);
  entries_.erase(oldest);
  gone_.erase(gone_.begin());
}

void Journal::enter(const Member& member, bool gone) {
  std::uint64_t& number = numbers_[member];
  entries_.erase(number);
  gone_.erase(number);
  number = ++latest_;
  entries_[number] = {.member = member, .gone = gone};
}

}  // namespace ptrain::relay
