#include "libcommon/probe/sought_server.h"

#include <utility>

namespace ptrain::probe {

SoughtServer::SoughtServer(std::string role, std::optional<net::PublicKey> key)
    : role_(std::move(role)), key_(key) {}

std::optional<net::Tie> SoughtServer::tie_to(std::string_view role) {
  if (role != role_) return std::nullopt;
  return net::Tie{.we_dial = true, .peer = kHandle};
}

// Who has the role first keeps it.
bool SoughtServer::admit(std::string_view, const net::PublicKey& key) {
  if (barred_.contains(key)) return false;
  if (!key_) key_ = key;
  return *key_ == key;
}

bool SoughtServer::has_key(std::string_view role, const net::PublicKey& key) const {
  return role == role_ && key_ == key && !barred_.contains(key);
}

}  // namespace ptrain::probe
