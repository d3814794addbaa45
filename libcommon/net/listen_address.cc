#include "libcommon/net/listen_address.h"

#include <array>
#include <memory>
#include <optional>
#include <thread>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include "libcommon/net/host_lookup.h"

namespace ptrain::net {
namespace {

constexpr const char* kAllAddresses = "0.0.0.0";
constexpr const char* kLoopback = "127.0.0.1";

bool is_numeric(const std::string& host) {
  in_addr ignored{};
  return host == "*" || host.starts_with('[') || ::inet_pton(AF_INET, host.c_str(), &ignored) == 1;
}

ListenAddress all_addresses(const std::string& why) {
  return {kAllAddresses, fmt::format("{}: listening at all addresses of this host", why)};
}

bool is_interface(const std::string& name) { return ::if_nametoindex(name.c_str()) != 0; }

bool is_address_here(const std::string& address) {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return false;
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> interfaces(list, &::freeifaddrs);
  for (const ifaddrs* each = list; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr || each->ifa_addr->sa_family != AF_INET) continue;
    std::array<char, INET_ADDRSTRLEN> text{};
    const auto& own = reinterpret_cast<const sockaddr_in*>(each->ifa_addr)->sin_addr;
    ::inet_ntop(AF_INET, &own, text.data(), text.size());
    if (address == text.data()) return true;
  }
  return false;
}

// The look-up that dialling uses as well, so that both ends mean the same by a name.
std::string look_up(const std::string& host, const Clock& clock) {
  const TimePoint deadline = clock.now() + kListenLookupLimit;
  HostLookup lookup(host);
  while (clock.now() < deadline) {
    if (const auto address = lookup.address(clock.now())) return *address;
    if (lookup.unknown()) break;
    std::this_thread::sleep_for(kLookupPoll);
  }
  return "";
}

}  // namespace

ListenAddress listen_address(const std::string& host, const NameKnowledge& knowledge) {
  if (host == "localhost") return {kLoopback, ""};
  if (is_numeric(host) || knowledge.is_interface(host)) return {host, ""};
  const std::string address = knowledge.look_up(host);
  if (address.empty()) return all_addresses(fmt::format("no address of {} is known here", host));
  if (address.starts_with("127.")) {
    return all_addresses(fmt::format("{} is {} here, where no other host comes in", host, address));
  }
  if (!knowledge.is_address_here(address)) {
    return all_addresses(fmt::format("{} is {}, which is no address of this host", host, address));
  }
  return {address, ""};
}

ListenAddress listen_address(const std::string& host, const Clock& clock) {
  return listen_address(host, NameKnowledge{.is_interface = is_interface,
                                            .is_address_here = is_address_here,
                                            .look_up = [&clock](const std::string& name) {
                                              return look_up(name, clock);
                                            }});
}

}  // namespace ptrain::net
