// An address and a port, as a value that the kernel's forms come from and go to.

#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>

#include <sys/socket.h>

#include "libcommon/net/address_reach.h"

namespace ptrain::probe {

struct SocketAddress {
  net::AddressBytes host{};  // of IPv4 ::ffff:a.b.c.d
  std::uint16_t port = 0;
  auto operator<=>(const SocketAddress&) const = default;
};

bool is_v4(const net::AddressBytes& host);
std::string host_text(const net::AddressBytes& host);  // "192.0.2.1", "2001:db8::1"
std::string to_string(const SocketAddress& address);   // "192.0.2.1:7102", "[2001:db8::1]:7102"

struct KernelAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};
KernelAddress kernel_address(const SocketAddress& address);
// nullopt of another family.
std::optional<SocketAddress> socket_address(const sockaddr_storage& storage);
// Where a socket is bound. nullopt where the kernel does not say.
std::optional<SocketAddress> own_address(int socket);

}  // namespace ptrain::probe
