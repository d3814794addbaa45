// Who of a run is registered, as its relays say: with any of them is enough.
//
// That a member has come or gone counts at once where a relay says so. Where it only does not name
// it any more (it may have begun anew, and not be known to all yet), or says nothing, its word
// holds for kWordHolds; and then until a relay has had time to say who is there. Pure.

#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/net/worker_id.h"

namespace ptrain::net {

// Longer than members take to find a relay that was started anew.
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
  // A list of all that it has did not name that one.
  void unlisted(std::size_t relay, const WorkerId& member, TimePoint now);
  // It has us registered, and says who is there; or has not any more.
  void speaks(std::size_t relay, TimePoint now);
  void is_silent(std::size_t relay, TimePoint now);

  bool has(const WorkerId& member) const { return is_there(member); }
  // What has changed since the last time, of each member the latest.
  std::vector<News> take_news(TimePoint now);
  TimePoint next_tick() const;

 private:
  struct Relay {
    std::map<WorkerId, TimePoint> members;  // with when its word for them ends
    std::optional<TimePoint> speaks_since{};
  };
  // Since then there is a relay that would have named whoever is there.
  TimePoint known_since() const;
  bool is_there(const WorkerId& member) const;

  std::vector<Relay> relays_;
  std::set<WorkerId> told_;
  std::set<WorkerId> touched_;
  TimePoint next_end_ = TimePoint::max();  // of a word, at the earliest
};

}  // namespace ptrain::net
