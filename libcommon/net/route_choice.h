// Which of its links a session sends over, of those of one purpose, and why. Pure.
//
// It starts on the first that works, leaves a link that stalls or vanishes for
// the best of the others, and moves to a better kind only when that one has
// proved itself: pings as large as data, answered without a gap for a while. A
// route that failed must prove itself for twice as long each time, so that one
// that comes and goes does not take the session along. When two links stall in turn
// with nothing arriving in between, patience grows: then it is not the route.
//
// Each side chooses for what it sends; the two need not agree.

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>

#include "libcommon/net/link_id.h"
#include "libcommon/net/link_watch.h"
#include "libcommon/net/route.h"

namespace ptrain::net {

inline constexpr int kMaxDoublings = 6;  // of a trial: 64 times as long at most
// A route that carried data for so many first trials is as good as new.
inline constexpr int kForgivenAfterTrials = 60;

struct RouteRules {
  RouteKinds allowed = RouteKinds::all();
  Duration trial_time{};  // the first time
  Patience patience{};
};

class RouteChoice {
 public:
  struct Candidate {
    LinkId link;
    Route route;
    const LinkWatch* watch;
  };

  explicit RouteChoice(RouteRules rules) : rules_(rules) {}

  // Chooses anew among the links that are greeted now; true when link() has changed.
  bool choose(std::span<const Candidate> candidates, TimePoint now);
  // Data has arrived.
  void progressed() { patience_ = {}; }
  void allow(RouteKinds kinds) { rules_.allowed = kinds; }

  std::optional<LinkId> link() const { return link_; }
  std::optional<Route> route() const { return link_ ? std::optional(route_) : std::nullopt; }
  const std::string& why() const { return why_; }
  std::uint64_t changes() const { return changes_; }  // from one route to another
  // How long a link of that route must have proved itself.
  Duration trial_time(Route route) const;
  // When link() will have stalled if nothing arrives.
  TimePoint stalls_at(const LinkWatch& used) const { return used.stalls_at(patience_); }

 private:
  const Candidate* best(std::span<const Candidate> candidates, TimePoint now) const;
  const Candidate* better(std::span<const Candidate> candidates, TimePoint now) const;
  bool move(const Candidate& to, std::string why, TimePoint now);
  void fail_route();

  RouteRules rules_;
  std::optional<LinkId> link_;
  Route route_;  // of link_, or of the last one
  std::string why_;
  std::string why_none_;  // what became of the last one
  TimePoint used_since_{};
  Duration patience_{};
  std::map<Route, int> failures_;
  std::uint64_t changes_ = 0;
};

}  // namespace ptrain::net
