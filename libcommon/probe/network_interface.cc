#include "libcommon/probe/network_interface.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <memory>

#include <ifaddrs.h>
#include <net/if_arp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "libcommon/os/file_descriptor.h"

namespace ptrain::probe {
namespace {

constexpr std::string_view kSchemeEnd = "://";

struct HostAndPort {
  std::string host;
  std::string port;
};

std::optional<HostAndPort> split(std::string_view path) {
  const auto scheme = path.find(kSchemeEnd);
  if (scheme == std::string_view::npos || path.starts_with("ipc:")) return std::nullopt;
  std::string_view place = path.substr(scheme + kSchemeEnd.size());
  place = place.substr(0, place.find_first_of("/#;"));
  const auto colon = place.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return std::nullopt;
  std::string_view host = place.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return HostAndPort{std::string(host), std::string(place.substr(colon + 1))};
}

// Our own address on the way there: a datagram socket that is connected has sent nothing.
std::optional<sockaddr_storage> own_address_towards(const addrinfo& there) {
  const os::FileDescriptor socket(::socket(there.ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.valid() || ::connect(socket.get(), there.ai_addr, there.ai_addrlen) != 0) {
    return std::nullopt;
  }
  sockaddr_storage own{};
  socklen_t size = sizeof own;
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&own), &size) != 0) {
    return std::nullopt;
  }
  return own;
}

bool same_address(const sockaddr& a, const sockaddr_storage& b) {
  if (a.sa_family != b.ss_family) return false;
  if (a.sa_family == AF_INET) {
    return reinterpret_cast<const sockaddr_in&>(a).sin_addr.s_addr ==
           reinterpret_cast<const sockaddr_in&>(b).sin_addr.s_addr;
  }
  return std::memcmp(&reinterpret_cast<const sockaddr_in6&>(a).sin6_addr,
                     &reinterpret_cast<const sockaddr_in6&>(b).sin6_addr, sizeof(in6_addr)) == 0;
}

std::optional<std::string> interface_with(const sockaddr_storage& address) {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return std::nullopt;
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> interfaces(list, &::freeifaddrs);
  for (const ifaddrs* each = list; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr != nullptr && same_address(*each->ifa_addr, address)) return each->ifa_name;
  }
  return std::nullopt;
}

unsigned type_of(const std::string& interface) {
  std::ifstream file("/sys/class/net/" + interface + "/type");
  unsigned type = ARPHRD_ETHER;
  file >> type;
  return type;
}

}  // namespace

bool is_tunnel(unsigned interface_type) {
  constexpr std::array<unsigned, 6> kTunnels{ARPHRD_NONE, ARPHRD_PPP,   ARPHRD_TUNNEL,
                                             ARPHRD_SIT,  ARPHRD_IPGRE, ARPHRD_TUNNEL6};
  return std::ranges::find(kTunnels, interface_type) != kTunnels.end();
}

std::optional<NetworkInterface> interface_towards(std::string_view path) {
  const auto place = split(path);
  if (!place) return std::nullopt;
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* list = nullptr;
  if (::getaddrinfo(place->host.c_str(), place->port.c_str(), &hints, &list) != 0) {
    return std::nullopt;
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(list, &::freeaddrinfo);
  const auto own = own_address_towards(*addresses);
  const auto name = own ? interface_with(*own) : std::nullopt;
  if (!name) return std::nullopt;
  return NetworkInterface{.name = *name, .tunnel = is_tunnel(type_of(*name))};
}

}  // namespace ptrain::probe
