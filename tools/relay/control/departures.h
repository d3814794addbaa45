// Who was registered here and is no longer, for the operator: the latest, for a while. Whoever
// comes back is forgotten. It is no part of the registry's file.
//
// Strangers can come and go as they like, so one address has a small share of it. Pure; one thread.

#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "libcommon/net/wall_time.h"
#include "tools/relay/member.h"

namespace ptrain::relay {

inline constexpr std::chrono::seconds kKeepDepartures = std::chrono::hours(1);
inline constexpr std::size_t kMaxDepartures = 1024;
inline constexpr std::size_t kMaxDeparturesOfAddress = 64;

struct Departed {
  Member who;
  std::string host{};      // where the relay saw it
  std::string_view how{};  // a RelayEvent's name: "left", "expired"; static
  net::WallTime when{};
};

class Departures {
 public:
  void note(Departed departed);
  void came_back(const Member& who);
  // The latest first.
  void for_each(net::WallTime now, const std::function<void(const Departed&)>& visit) const;

 private:
  void forget(std::uint64_t number);

  std::uint64_t numbers_ = 0;  // grow
  std::map<std::uint64_t, Departed> departed_;
  std::map<Member, std::uint64_t> number_of_;
  std::map<std::string, std::set<std::uint64_t>> of_address_;  // quota_address.h
};

}  // namespace ptrain::relay
