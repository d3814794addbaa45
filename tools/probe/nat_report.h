// What is known of how this host reaches others and is reached, for people and for programs. Pure.

#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "libcommon/probe/nat_class.h"
#include "tools/probe/mapping_services.h"

namespace ptrain::probe_tool {

// By one family of addresses.
struct FamilyReport {
  std::vector<std::string> relays;  // as they were given
  probe::NatFindings findings;
  probe::NatVerdict verdict;
  Duration took{};
};

struct NatReport {
  std::chrono::system_clock::time_point began;
  std::optional<FamilyReport> v4{};
  std::optional<FamilyReport> v6{};
  std::optional<net::AddressBytes> v6_address{};  // one that the world reaches
  std::vector<net::AddressBytes> routers{};       // on the way out
  std::vector<MappingService> services{};
};

// That a class is known of: IPv4's where there are relays with such an address.
const FamilyReport& main_family(const NatReport& report);
bool behind_carrier(const NatReport& report);
probe::NatMeaning meaning_of(const NatReport& report);

nlohmann::ordered_json to_json(const NatReport& report);
// Lines, each with its end.
std::string to_table(const NatReport& report);

}  // namespace ptrain::probe_tool
