#include "libcommon/probe/socket_address.h"

#include <array>
#include <cstring>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

namespace ptrain::probe {
namespace {

constexpr std::size_t kV4At = 12;

}  // namespace

bool is_v4(const net::AddressBytes& host) {
  static const net::Network v4{*net::parse_address("0.0.0.0"), 8 * kV4At};
  return v4.contains(host);
}

std::string host_text(const net::AddressBytes& host) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const bool v4 = is_v4(host);
  ::inet_ntop(v4 ? AF_INET : AF_INET6, host.data() + (v4 ? kV4At : 0), text.data(), text.size());
  return text.data();
}

std::string to_string(const SocketAddress& address) {
  const std::string host = host_text(address.host);
  return is_v4(address.host) ? fmt::format("{}:{}", host, address.port)
                             : fmt::format("[{}]:{}", host, address.port);
}

KernelAddress kernel_address(const SocketAddress& address) {
  KernelAddress result;
  if (is_v4(address.host)) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(result.storage);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(address.port);
    std::memcpy(&v4.sin_addr, address.host.data() + kV4At, sizeof v4.sin_addr);
    result.size = sizeof v4;
  } else {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(result.storage);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(address.port);
    std::memcpy(&v6.sin6_addr, address.host.data(), sizeof v6.sin6_addr);
    result.size = sizeof v6;
  }
  return result;
}

std::optional<SocketAddress> socket_address(const sockaddr_storage& storage) {
  SocketAddress address;
  if (storage.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(storage);
    address.host[10] = address.host[11] = 0xff;
    std::memcpy(address.host.data() + kV4At, &v4.sin_addr, sizeof v4.sin_addr);
    address.port = ntohs(v4.sin_port);
    return address;
  }
  if (storage.ss_family != AF_INET6) return std::nullopt;
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(storage);
  std::memcpy(address.host.data(), &v6.sin6_addr, sizeof v6.sin6_addr);
  address.port = ntohs(v6.sin6_port);
  return address;
}

std::optional<SocketAddress> own_address(int socket) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&storage), &size) != 0) {
    return std::nullopt;
  }
  return socket_address(storage);
}

}  // namespace ptrain::probe
