// The routers through which this host reaches the rest of the world: its default routes, as the
// kernel's tables say them.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/net/address_reach.h"

namespace ptrain::punch {

inline constexpr std::size_t kMaxGateways = 8;  // of each family; more are no home's

struct Gateway {
  net::AddressBytes address{};  // of IPv6 mostly link-local
  std::string interface;
  std::uint32_t metric = 0;
  bool operator==(const Gateway&) const = default;
};

// "192.168.1.1", "fe80::1%eth0"
std::string to_string(const Gateway& gateway);

// Of /proc/net/route and /proc/net/ipv6_route, the lowest metric first, each gateway once; at most
// kMaxGateways. Lines of another form are passed over. Pure.
std::vector<Gateway> parse_v4_routes(std::string_view table);
std::vector<Gateway> parse_v6_routes(std::string_view table);

// None where a table cannot be read.
std::vector<Gateway> v4_gateways();
std::vector<Gateway> v6_gateways();

}  // namespace ptrain::punch
