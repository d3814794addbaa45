#include "libcommon/net/punch_candidates.h"

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

namespace ptrain::net {
namespace {

// How drivers of containers, virtual machines and private networks call their interfaces.
constexpr std::array<std::string_view, 20> kVirtualNames{
    "docker", "br-",       "virbr",   "vmnet", "vboxnet", "lxc",  "lxd",
    "podman", "cni",       "flannel", "cali",  "weave",   "kube", "tun",
    "tap",    "tailscale", "wg",      "zt",    "nebula",  "dummy"};

bool is_v6(std::string_view host) { return host.starts_with('['); }

Endpoint hole_endpoint(std::uint16_t hole, std::string host, std::uint16_t port) {
  Endpoint endpoint;
  endpoint.kind = EndpointKind::punched;
  endpoint.local_port = hole;
  endpoint.host = std::move(host);
  endpoint.port = port;
  return endpoint;
}

std::optional<PunchRung> rung_of(const std::string& host, const std::vector<Network>& own) {
  const auto address = parse_address(host);
  if (!address || !may_be_dialled(*address, own)) return std::nullopt;
  const bool near =
      std::ranges::any_of(own, [&](const Network& net) { return net.contains(*address); });
  if (near) return PunchRung::lan;
  return is_v6(host) ? PunchRung::ipv6 : PunchRung::outside;
}

}  // namespace

bool is_virtual(const HostAddress& address) {
  if (address.to_the_world) return false;
  if (address.tunnel && !address.interface.starts_with("ppp")) return true;
  return std::ranges::any_of(
      kVirtualNames, [&](std::string_view name) { return address.interface.starts_with(name); });
}

std::vector<std::string> ranked_hosts(std::vector<HostAddress> addresses) {
  std::erase_if(addresses, [](const HostAddress& each) {
    const auto address = parse_address(each.host);
    const Reach reach = address ? reach_of(*address) : Reach::host;
    return reach == Reach::host || reach == Reach::link;
  });
  const auto rank = [](const HostAddress& each) {
    return std::tuple(is_virtual(each), !each.to_the_world);
  };
  std::ranges::stable_sort(addresses, {}, rank);
  std::vector<std::string> hosts;
  std::size_t virtual_ones = 0;
  for (const HostAddress& each : addresses) {
    if (std::ranges::find(hosts, each.host) != hosts.end()) continue;
    if (is_virtual(each) && ++virtual_ones > kMostVirtualAddresses) continue;
    hosts.push_back(each.host);
  }
  return hosts;
}

// Round by round: the outside of each hole, then a host's address for each, and so on, so that what
// has no room is the worst of all.
std::vector<Endpoint> hole_candidates(const std::vector<HoleFacts>& holes,
                                      const std::vector<std::string>& hosts, std::size_t room) {
  std::vector<std::vector<Endpoint>> of_each;
  for (const HoleFacts& hole : holes) {
    std::vector<Endpoint>& list = of_each.emplace_back();
    const auto add = [&](const std::string& host, std::uint16_t port) {
      Endpoint endpoint = hole_endpoint(hole.port, host, port);
      if (std::ranges::find(list, endpoint) == list.end()) list.push_back(std::move(endpoint));
    };
    for (const Endpoint& outside : hole.outside) add(outside.host, outside.port);
    for (const std::string& host : hosts) add(host, hole.port);
    list.resize(std::min(list.size(), kMostPunchTargets));
  }
  std::vector<Endpoint> candidates;
  for (std::size_t round = 0; round < kMostPunchTargets; ++round) {
    for (const auto& list : of_each) {
      if (round < list.size() && candidates.size() < room) candidates.push_back(list[round]);
    }
  }
  return candidates;
}

std::string_view name_of(PunchRung rung) {
  switch (rung) {
    case PunchRung::lan:
      return "lan";
    case PunchRung::ipv6:
      return "ipv6";
    case PunchRung::outside:
      return "outside";
  }
  return "?";
}

std::vector<std::vector<PunchTarget>> punch_targets(const std::vector<Endpoint>& candidates,
                                                    const std::vector<Network>& own) {
  std::vector<std::uint16_t> holes;
  std::vector<std::vector<PunchTarget>> targets;
  for (const Endpoint& each : candidates) {
    if (each.kind != EndpointKind::punched) continue;
    auto hole = std::ranges::find(holes, each.local_port);
    if (hole == holes.end()) {
      if (holes.size() == kMostHoles) continue;
      holes.push_back(each.local_port);
      targets.emplace_back();
      hole = holes.end() - 1;
    }
    auto& list = targets[static_cast<std::size_t>(hole - holes.begin())];
    const auto rung = rung_of(each.host, own);
    if (!rung || each.port == 0 || list.size() == kMostPunchTargets) continue;
    Endpoint at;
    at.host = each.host;
    at.port = each.port;
    if (std::ranges::find(list, at, &PunchTarget::at) == list.end()) list.push_back({*rung, at});
  }
  for (auto& list : targets) std::ranges::stable_sort(list, {}, &PunchTarget::rung);
  return targets;
}

}  // namespace ptrain::net
