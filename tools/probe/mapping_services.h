// Which services of this host's routers would map a port for it, asked without changing anything.

#pragma once

#include <optional>
#include <string>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/net/address_reach.h"

namespace ptrain::probe_tool {

// What has not answered by then is called silent: UPnP is looked for by multicast, and takes its
// time.
inline constexpr Duration kMappingServicesTime = std::chrono::milliseconds(4500);

struct MappingService {
  std::string service;  // "PCP"
  std::string gateway;  // "192.168.1.1"
  bool answers = false;
  std::string why{};  // not
  std::optional<net::AddressBytes> outside{};
  std::string worthless{};  // why nobody would reach a port that it maps; empty: they would
};

// Of all gateways, in the order in which they are preferred; none where there is no gateway. Blocks
// for kMappingServicesTime at most.
std::vector<MappingService> find_mapping_services();

}  // namespace ptrain::probe_tool
