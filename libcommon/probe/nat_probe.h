// Carries a NatSurvey out over sockets: what is due is sent, what comes is told, and beside it TCP
// is tried, and routers on the way are made to say where they are. Bounded by kNatProbeTime. One
// thread; blocks.

#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/probe/nat_survey.h"

namespace ptrain::probe {

// A connection may need one second attempt of TCP's own, after a second.
inline constexpr Duration kNatProbeTime = kNatTime;
// Routers on the way that are asked for: the home's, a carrier's, and the one beyond.
inline constexpr int kAskedHops = 3;

struct NatProbed {
  NatFindings findings;
  std::vector<net::AddressBytes> routers;  // on the way out, as far as they said so; IPv4 only
  Duration took{};
};

// nullopt where stop() said so (asked every 50 ms). Precondition: at least one relay, all of one
// family. Throws Error(io) where there are no sockets.
std::optional<NatProbed> probe_nat(const std::vector<EchoServer>& relays,
                                   const std::function<bool()>& stop, const Clock& clock);

}  // namespace ptrain::probe
