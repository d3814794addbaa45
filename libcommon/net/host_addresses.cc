#include "libcommon/net/host_addresses.h"

#include <array>
#include <memory>
#include <optional>
#include <string>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "libcommon/net/address_reach.h"
#include "libcommon/os/file_descriptor.h"

namespace ptrain::net {
namespace {

// Documentation's own (RFC 5737, RFC 3849): the way there is that to the world.
constexpr const char* kSomewhere4 = "192.0.2.1";
constexpr const char* kSomewhere6 = "2001:db8::1";
constexpr std::uint16_t kDiscardPort = 9;

bool listens_on_all_v4(const Endpoint& bound) {
  return bound.host == "0.0.0.0" || bound.host == "*";
}
bool listens_on_all_v6(const Endpoint& bound) { return bound.host == "[::]"; }

// Our own address on the way there; a datagram socket that is connected has sent nothing.
template <class Address>
std::optional<Address> own_address_towards(Address to) {
  const auto* there = reinterpret_cast<const sockaddr*>(&to);
  const os::FileDescriptor socket(::socket(there->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.valid() || ::connect(socket.get(), there, sizeof to) != 0) return std::nullopt;
  Address own{};
  socklen_t size = sizeof own;
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&own), &size) != 0) {
    return std::nullopt;
  }
  return own;
}

std::optional<std::string> v4_towards_the_world() {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(kDiscardPort);
  ::inet_pton(AF_INET, kSomewhere4, &to.sin_addr);
  const auto own = own_address_towards(to);
  std::array<char, INET_ADDRSTRLEN> text{};
  if (!own || !::inet_ntop(AF_INET, &own->sin_addr, text.data(), text.size())) return std::nullopt;
  return text.data();
}

std::optional<std::string> v6_towards_the_world() {
  sockaddr_in6 to{};
  to.sin6_family = AF_INET6;
  to.sin6_port = htons(kDiscardPort);
  ::inet_pton(AF_INET6, kSomewhere6, &to.sin6_addr);
  const auto own = own_address_towards(to);
  if (!own || IN6_IS_ADDR_LINKLOCAL(&own->sin6_addr)) return std::nullopt;
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (!::inet_ntop(AF_INET6, &own->sin6_addr, text.data(), text.size())) return std::nullopt;
  return fmt::format("[{}]", text.data());
}

bool reaches_the_world(const std::optional<std::string>& host) {
  const auto address = host ? parse_address(*host) : std::nullopt;
  return address && reach_of(*address) == Reach::world;
}

// Empty for what no other host can dial.
std::string address_text(const ifaddrs& interface) {
  const sockaddr* address = interface.ifa_addr;
  if (address == nullptr || (interface.ifa_flags & IFF_LOOPBACK) != 0 ||
      (interface.ifa_flags & IFF_UP) == 0) {
    return {};
  }
  const bool is_v6 = address->sa_family == AF_INET6;
  if (!is_v6 && address->sa_family != AF_INET) return {};
  if (is_v6 && IN6_IS_ADDR_LINKLOCAL(&reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr)) {
    return {};
  }
  std::array<char, NI_MAXHOST> text{};
  const socklen_t length = is_v6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  if (::getnameinfo(address, length, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST) != 0) {
    return {};
  }
  return is_v6 ? fmt::format("[{}]", text.data()) : std::string(text.data());
}

}  // namespace

std::vector<HostAddress> host_addresses() {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return {};
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> interfaces(list, &::freeifaddrs);
  const auto v4 = v4_towards_the_world();
  const auto v6 = v6_towards_the_world();
  std::vector<HostAddress> addresses;
  for (const ifaddrs* each = list; each != nullptr; each = each->ifa_next) {
    const std::string host = address_text(*each);
    if (host.empty()) continue;
    addresses.push_back({.interface = each->ifa_name,
                         .host = host,
                         .to_the_world = host == v4 || host == v6,
                         .tunnel = (each->ifa_flags & IFF_POINTOPOINT) != 0});
  }
  return addresses;
}

std::vector<Endpoint> candidates_of(const Endpoint& bound) {
  if (bound.kind != EndpointKind::direct || bound.is_local()) return {};
  Endpoint candidate = bound;
  candidate.key.reset();
  const bool all_v4 = listens_on_all_v4(bound);
  const bool all = all_v4 || listens_on_all_v6(bound);
  if (!all) return {candidate};

  std::vector<Endpoint> candidates;
  for (const std::string& host : ranked_hosts(host_addresses())) {
    if (all_v4 && host.starts_with('[')) continue;
    candidate.host = host;
    if (candidates.size() < kMostOwnCandidates) candidates.push_back(candidate);
  }
  return candidates;
}

Endpoint as_dialled(const Endpoint& bound) {
  const bool v6_too = listens_on_all_v6(bound);
  if (bound.kind != EndpointKind::direct || (!v6_too && !listens_on_all_v4(bound))) return bound;
  Endpoint dialled = bound;
  auto own = v4_towards_the_world();
  // A socket that takes both is best named by the address that most others reach.
  if (v6_too && !reaches_the_world(own)) {
    if (auto own6 = v6_towards_the_world(); own6 && (!own || reaches_the_world(own6))) own = own6;
  }
  if (own) {
    dialled.host = *own;
    return dialled;
  }
  const std::vector<Endpoint> candidates = candidates_of(bound);
  dialled.host = candidates.empty() ? "127.0.0.1" : candidates.front().host;
  return dialled;
}

}  // namespace ptrain::net
