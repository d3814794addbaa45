// The right to change a view. Values.
//
// A driver may change the view, or who drives, only under a lease that it holds at a majority of
// the ticket's relays. Each grant has a number that is larger than any before (libcommon/net,
// claims): it fences, for who has promised itself to a number follows no smaller one. Relays can
// lie about the number; therefore a ballot also has the driver's name, and what is agreed on is
// decided by the holders (view_change.h), never by the relays.

#pragma once

#include <compare>
#include <cstdint>
#include <string>

#include "libcommon/base/clock.h"
#include "libcommon/job/peer_name.h"

namespace ptrain::elastic {

using job::PeerName;
using FencingNumber = std::uint64_t;

// `until` is by a clock that goes on while the machine sleeps: a laptop that wakes has no lease.
struct Lease {
  FencingNumber number = 0;
  TimePoint until{};

  bool holds(TimePoint now) const { return now < until; }
};

// Under which a driver proposes one view. Rounds count what it proposes under one lease. Of two
// ballots, holders follow the larger.
struct Ballot {
  FencingNumber number = 0;
  std::uint64_t round = 0;
  PeerName driver;

  auto operator<=>(const Ballot&) const = default;
};

// "number 7, round 2, of b"
std::string to_string(const Ballot& ballot);

}  // namespace ptrain::elastic
