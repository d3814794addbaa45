#include "libcommon/net/host_addresses.h"

#include <array>
#include <memory>
#include <string>

#include <fmt/format.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "libcommon/net/peer_record.h"

namespace ptrain::net {
namespace {

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

std::vector<Endpoint> candidates_of(const Endpoint& bound) {
  if (bound.kind != EndpointKind::direct || bound.is_local()) return {};
  Endpoint candidate = bound;
  candidate.key.reset();
  const bool all_v4 = bound.host == "0.0.0.0" || bound.host == "*";
  const bool all = all_v4 || bound.host == "[::]";
  if (!all) return {candidate};

  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return {};
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> interfaces(list, &::freeifaddrs);
  std::vector<Endpoint> candidates;
  for (const ifaddrs* each = list; each != nullptr; each = each->ifa_next) {
    candidate.host = address_text(*each);
    if (candidate.host.empty() || (all_v4 && candidate.host.starts_with('['))) continue;
    if (candidates.size() < kMaxCandidates) candidates.push_back(candidate);
  }
  return candidates;
}

}  // namespace ptrain::net
