// A socket's address and its text, as endpoints write it: IPv6 in brackets, IPv4 that came over an
// IPv6 socket as IPv4. Values.

#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <sys/socket.h>

#include "libcommon/net/endpoint.h"

namespace ptrain::net {

struct NumericAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  int family() const { return storage.ss_family; }
};

// nullopt for a name.
std::optional<NumericAddress> numeric_address(const std::string& host, std::uint16_t port);

// All addresses of that family.
NumericAddress any_address(int family, std::uint16_t port);

// Direct, without key.
Endpoint endpoint_of(const sockaddr_storage& address);

}  // namespace ptrain::net
