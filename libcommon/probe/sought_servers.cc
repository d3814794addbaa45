#include "libcommon/probe/sought_servers.h"

#include <cstdint>
#include <utility>

namespace ptrain::probe {

SoughtServers::SoughtServers(std::map<std::string, std::optional<net::PublicKey>> roles) {
  std::uint64_t handles = 0;
  for (auto& [role, key] : roles) {
    sought_.emplace(role, Sought{.handle = net::PeerHandle(++handles), .key = key});
  }
}

net::WorkerId SoughtServers::id_of(net::PeerHandle peer) const {
  for (const auto& [role, sought] : sought_) {
    if (sought.handle == peer) return {sought.key, role};
  }
  return {};
}

std::optional<net::Tie> SoughtServers::tie_to(std::string_view role) {
  const auto found = sought_.find(role);
  if (found == sought_.end()) return std::nullopt;
  return net::Tie{.we_dial = true, .peer = found->second.handle};
}

std::set<std::string> SoughtServers::sought_roles() const {
  std::set<std::string> roles;
  for (const auto& [role, sought] : sought_) roles.insert(role);
  return roles;
}

std::vector<net::PeerHandle> SoughtServers::awaited() const {
  std::vector<net::PeerHandle> handles;
  for (const auto& [role, sought] : sought_) handles.push_back(sought.handle);
  return handles;
}

// Who has the role first keeps it.
bool SoughtServers::admit(std::string_view role, const net::PublicKey& key) {
  const auto found = sought_.find(role);
  if (found == sought_.end() || barred_.contains(key)) return false;
  auto& known = found->second.key;
  if (!known) known = key;
  return *known == key;
}

bool SoughtServers::has_key(std::string_view role, const net::PublicKey& key) const {
  const auto found = sought_.find(role);
  return found != sought_.end() && found->second.key == key && !barred_.contains(key);
}

}  // namespace ptrain::probe
