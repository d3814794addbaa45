// Who of a run is registered, as its relays say: with any of them is enough.
//
// What a relay has said holds while it has us registered, and for kWordHolds afterwards: a relay
// that has gone for good vouches for nobody, unless there is no other that could be asked. Pure.

#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/net/worker_id.h"

namespace ptrain::net {

// Longer than a relay takes to start anew.
inline constexpr Duration kWordHolds = std::chrono::seconds(60);
// Keys are free to who holds a ticket. Of more members nothing is told.
inline constexpr std::size_t kMostOnRoll = 16384;

class MemberRoll {
 public:
  struct News {
    WorkerId member;
    bool there = true;
  };

  explicit MemberRoll(std::size_t relays) : relays_(relays) {}

  void seen(std::size_t relay, const WorkerId& member);
  void gone(std::size_t relay, const WorkerId& member);
  // It has us registered, and says who is there; or has not any more.
  void speaks(std::size_t relay) { relays_[relay].silent_since.reset(); }
  void is_silent(std::size_t relay, TimePoint now);

  // What has changed since the last time, of each member the latest.
  std::vector<News> take_news(TimePoint now);
  TimePoint next_tick() const;

 private:
  struct Relay {
    std::set<WorkerId> members;
    std::optional<TimePoint> silent_since = TimePoint{};
  };
  bool anyone_speaks() const;
  bool is_there(const WorkerId& member) const;

  std::vector<Relay> relays_;
  std::set<WorkerId> told_;
  std::set<WorkerId> touched_;
};

}  // namespace ptrain::net
