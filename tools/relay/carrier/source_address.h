// Where a connection comes from, as what limits count by: an IPv4 address, or the /64 of an
// IPv6 address, since one host can have all of a /64. A value.

#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>

#include <netinet/in.h>
#include <sys/socket.h>

namespace ptrain::relay {

struct SourceAddress {
  std::array<std::uint8_t, 8> bytes{};
  bool is_ipv6 = false;
  auto operator<=>(const SourceAddress&) const = default;
};

inline SourceAddress source_of(const sockaddr_storage& address) {
  SourceAddress source;
  if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    const bool is_mapped = IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr);
    source.is_ipv6 = !is_mapped;
    const std::uint8_t* from = v6.sin6_addr.s6_addr;
    std::memcpy(source.bytes.data(), is_mapped ? from + 12 : from, is_mapped ? 4 : 8);
  } else if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    std::memcpy(source.bytes.data(), &v4.sin_addr, 4);
  }
  return source;
}

}  // namespace ptrain::relay
