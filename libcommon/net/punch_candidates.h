// Which addresses a member publishes for its holes, and which of those that another has published
// it tries: in what order, and how few. Pure.
//
// A hole is a TCP port that a member listens at and connects from. In its record each stands as
// punched endpoints, "tcp://0.0.0.0:40000;198.51.100.7:40123": the hole's port on its host, and
// where others may find it. The ports tell the holes apart; members number them by their first
// appearance. Releases that know no holes pass such candidates over.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/net/address_reach.h"
#include "libcommon/net/endpoint.h"

namespace ptrain::net {

// One for control, the others for bulk.
inline constexpr std::size_t kMostHoles = 4;
// Of another's hole.
inline constexpr std::size_t kMostPunchTargets = 4;
// Addresses of bridges of containers, tunnels and the like: others come first, and these are few.
inline constexpr std::size_t kMostVirtualAddresses = 2;

// ---- What this host says.

struct HostAddress {
  std::string interface;      // "eth0"
  std::string host;           // numeric; IPv6 in brackets
  bool to_the_world = false;  // this host speaks to the world from it
  bool tunnel = false;        // a point-to-point interface
};

// By its name or its nature, a net that other hosts are rarely on.
bool is_virtual(const HostAddress& address);

// Best first: that from which the host speaks to the world, then others, and few virtual ones. Each
// once, none that only this host or its link has.
std::vector<std::string> ranked_hosts(std::vector<HostAddress> addresses);

// What is known of one of our holes.
struct HoleFacts {
  std::uint16_t port = 0;
  // Where others reach it: what a router maps, and what an echo has seen. Hosts and ports, without
  // key.
  std::vector<Endpoint> outside{};
};

// At most `room`; of each hole something before of any much.
std::vector<Endpoint> hole_candidates(const std::vector<HoleFacts>& holes,
                                      const std::vector<std::string>& hosts, std::size_t room);

// ---- What others say.

enum class PunchRung : std::uint8_t { lan, ipv6, outside };
std::string_view name_of(PunchRung rung);

struct PunchTarget {
  PunchRung rung = PunchRung::outside;
  Endpoint at;  // direct, numeric, without key
  bool operator==(const PunchTarget&) const = default;
};

// Of each hole of a record, in order; those that may be dialled (address_reach.h), at most
// kMostPunchTargets of each of at most kMostHoles, a LAN's first. A hole may have none.
std::vector<std::vector<PunchTarget>> punch_targets(const std::vector<Endpoint>& candidates,
                                                    const std::vector<Network>& own);

}  // namespace ptrain::net
