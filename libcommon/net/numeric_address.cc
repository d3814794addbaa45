#include "libcommon/net/numeric_address.h"

#include <cstring>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

namespace ptrain::net {

std::optional<NumericAddress> numeric_address(const std::string& host, std::uint16_t port) {
  NumericAddress address;
  if (host.starts_with('[') && host.ends_with(']')) {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    if (::inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &v6.sin6_addr) != 1) {
      return std::nullopt;
    }
    std::memcpy(&address.storage, &v6, sizeof v6);
    address.length = sizeof v6;
    return address;
  }
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  if (::inet_pton(AF_INET, host.c_str(), &v4.sin_addr) != 1) return std::nullopt;
  std::memcpy(&address.storage, &v4, sizeof v4);
  address.length = sizeof v4;
  return address;
}

NumericAddress any_address(int family, std::uint16_t port) {
  return *numeric_address(family == AF_INET6 ? "[::]" : "0.0.0.0", port);
}

Endpoint endpoint_of(const sockaddr_storage& address) {
  Endpoint endpoint;
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, &address, sizeof v4);
    ::inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
    endpoint.host = text;
    endpoint.port = ntohs(v4.sin_port);
    return endpoint;
  }
  sockaddr_in6 v6;
  std::memcpy(&v6, &address, sizeof v6);
  endpoint.port = ntohs(v6.sin6_port);
  if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
    ::inet_ntop(AF_INET, &v6.sin6_addr.s6_addr[12], text, sizeof text);
    endpoint.host = text;
  } else {
    ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    endpoint.host = fmt::format("[{}]", text);
  }
  return endpoint;
}

}  // namespace ptrain::net
