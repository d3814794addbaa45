// What the operator is told: JSON objects, a page of them at a time. Pure.

#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "libcommon/net/relay_protocol.h"
#include "tools/relay/control/departures.h"
#include "tools/relay/control/registry.h"

namespace ptrain::relay {

struct RelayTotals;

// What a peer has at the data port, if it was ever there.
struct CarriedTraffic {
  std::size_t connections = 0;
  std::uint64_t sent_bytes = 0;
};
using TrafficOf = std::function<std::optional<CarriedTraffic>(const net::PublicKey&)>;
inline std::optional<CarriedTraffic> no_traffic(const net::PublicKey&) { return std::nullopt; }

// A relay that this one gossips with.
struct NeighbourState {
  net::PublicKey key{};
  std::string name;        // host and port
  bool connected = false;  // and telling us of its members
  std::size_t members = 0;
  std::string trouble{};
};

struct SurveySources {
  const Registry& registry;
  const RelayTotals& totals;
  TrafficOf traffic_of;
  std::vector<NeighbourState> neighbours;
  const Departures& departures;
  net::WallTime wall_now;
};

// Fewer than fit in an answer, whatever their length.
inline constexpr std::size_t kSurveyLinesPerPage = 48;

net::answer::Surveyed survey(const net::request::Survey& asked, const SurveySources& sources,
                             TimePoint now);

}  // namespace ptrain::relay
