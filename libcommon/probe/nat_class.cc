#include "libcommon/probe/nat_class.h"

#include <algorithm>

namespace ptrain::probe {
namespace {

using Seen = std::vector<std::pair<net::AddressBytes, SocketAddress>>;  // by which relay, as what

Mapping mapping_of(const NatFindings& findings) {
  Seen first;  // of each relay, what it saw first
  bool compared = false;
  for (std::size_t i = 0; i < findings.echoes.size(); ++i) {
    const auto& seen = findings.echoes[i].seen;
    if (seen[0] && seen[1]) {
      compared = true;
      if (*seen[0] != *seen[1]) return Mapping::address_and_port_dependent;
    }
    if (seen[0]) first.emplace_back(findings.relays[i], *seen[0]);
  }
  if (first.empty()) return Mapping::unknown;
  const auto differs = [&](const auto& each) { return each.second != first.front().second; };
  if (std::ranges::any_of(first, differs)) return Mapping::address_dependent;
  if (findings.own && *findings.own == first.front().second) return Mapping::none;
  const auto elsewhere = [&](const auto& each) { return each.first != first.front().first; };
  if (std::ranges::any_of(first, elsewhere)) return Mapping::endpoint_independent;
  return compared ? Mapping::independent_or_address_dependent : Mapping::unknown;
}

Filtering filtering_of(const NatFindings& findings) {
  if (!findings.other_port_passes) return Filtering::unknown;
  if (!*findings.other_port_passes) return Filtering::address_and_port;
  if (!findings.other_host_passes) return Filtering::none_or_address;
  return *findings.other_host_passes ? Filtering::none : Filtering::address;
}

NatClass class_of(Mapping mapping, Filtering filtering, bool answered_by_tcp) {
  switch (mapping) {
    case Mapping::unknown:
      return answered_by_tcp ? NatClass::blocked : NatClass::unknown;
    case Mapping::none:
      if (filtering == Filtering::unknown) return NatClass::unknown;
      return filtering == Filtering::address_and_port || filtering == Filtering::address
                 ? NatClass::firewall
                 : NatClass::open;
    case Mapping::address_dependent:
    case Mapping::address_and_port_dependent:
      return NatClass::symmetric;
    case Mapping::endpoint_independent:
    case Mapping::independent_or_address_dependent:
      break;
  }
  switch (filtering) {
    case Filtering::unknown:
      return NatClass::unknown;
    case Filtering::none:
      return NatClass::full_cone;
    case Filtering::none_or_address:
      return NatClass::full_cone_or_address_restricted;
    case Filtering::address:
      return NatClass::address_restricted;
    case Filtering::address_and_port:
      return NatClass::port_restricted;
  }
  return NatClass::unknown;
}

std::string cure_of(const NatCircumstances& circumstances) {
  if (circumstances.maps_ports == true) {
    return "the router maps ports: ptrain-punch map --tcp PORT lets everybody reach one "
           "(ptrain-punch(1))";
  }
  if (circumstances.reached_by_ipv6) {
    return "this host has IPv6: let a port in through the router's IPv6 firewall, and listen there";
  }
  if (circumstances.behind_carrier) {
    return "ask the carrier for a public IPv4 address or for IPv6; until then a relay carries what "
           "has no other way (ptrain-relay(1))";
  }
  return "turn on port mapping (PCP, NAT-PMP or UPnP) in the router, or forward a port to this "
         "host "
         "by hand";
}

}  // namespace

std::string_view name_of(Mapping mapping) {
  switch (mapping) {
    case Mapping::unknown:
      return "unknown";
    case Mapping::none:
      return "none";
    case Mapping::endpoint_independent:
      return "endpoint-independent";
    case Mapping::independent_or_address_dependent:
      return "endpoint-independent or address-dependent";
    case Mapping::address_dependent:
      return "address-dependent";
    case Mapping::address_and_port_dependent:
      return "address-and-port-dependent";
  }
  return "?";
}

std::string_view name_of(Filtering filtering) {
  switch (filtering) {
    case Filtering::unknown:
      return "unknown";
    case Filtering::none:
      return "none";
    case Filtering::none_or_address:
      return "none or address-dependent";
    case Filtering::address:
      return "address-dependent";
    case Filtering::address_and_port:
      return "address-and-port-dependent";
  }
  return "?";
}

std::string_view name_of(NatClass nat_class) {
  switch (nat_class) {
    case NatClass::unknown:
      return "unknown";
    case NatClass::blocked:
      return "UDP blocked";
    case NatClass::open:
      return "open";
    case NatClass::firewall:
      return "firewall";
    case NatClass::full_cone:
      return "full cone";
    case NatClass::full_cone_or_address_restricted:
      return "full cone or address-restricted";
    case NatClass::address_restricted:
      return "address-restricted";
    case NatClass::port_restricted:
      return "port-restricted";
    case NatClass::symmetric:
      return "symmetric";
  }
  return "?";
}

std::optional<Duration> latency_of(const EchoFindings& echo) {
  return echo.round_trip ? echo.round_trip : echo.tcp_connect;
}

NatVerdict verdict_of(const NatFindings& findings) {
  NatVerdict verdict{.mapping = mapping_of(findings), .filtering = filtering_of(findings)};
  bool tcp = false;
  for (std::size_t i = 0; i < findings.echoes.size(); ++i) {
    const EchoFindings& echo = findings.echoes[i];
    tcp = tcp || echo.tcp_connect;
    const auto latency = latency_of(echo);
    if (!latency) continue;
    if (!verdict.nearest || *latency < *latency_of(findings.echoes[*verdict.nearest])) {
      verdict.nearest = i;
    }
  }
  for (const EchoFindings& echo : findings.echoes) {
    if (!verdict.outside && echo.seen[0]) verdict.outside = echo.seen[0];
  }
  if (verdict.nearest && findings.echoes[*verdict.nearest].seen[0]) {
    verdict.outside = findings.echoes[*verdict.nearest].seen[0];
  }
  verdict.other_port =
      verdict.outside && findings.own && verdict.outside->port != findings.own->port;
  verdict.nat_class = class_of(verdict.mapping, verdict.filtering, tcp);
  return verdict;
}

bool is_of_a_carrier(const net::AddressBytes& host) {
  static const net::Network shared{*net::parse_address("100.64.0.0"), 96 + 10};
  return shared.contains(host);
}

NatMeaning meaning_of(NatClass nat_class, const NatCircumstances& circumstances) {
  switch (nat_class) {
    case NatClass::unknown:
      return {"no relay's echo answered well enough to say",
              "see that a relay is reached, and ask again"};
    case NatClass::blocked:
      return {
          "no UDP leaves: TCP goes out, so this host reaches who is reachable, and others by relay",
          circumstances.maps_ports == true
              ? cure_of(circumstances)
              : "let UDP out in the firewall, or rely on TCP and a relay"};
    case NatClass::open:
      return {"everybody reaches this host, and it reaches everybody who can be reached", ""};
    case NatClass::firewall:
      return {
          "a firewall lets in answers only: this host meets others by punching, where the other "
          "side is not symmetric",
          "let the port in through the firewall"};
    case NatClass::full_cone:
      return {"whoever knows the outside port reaches this host, so it meets hosts of every class",
              ""};
    case NatClass::full_cone_or_address_restricted:
    case NatClass::address_restricted:
      return {"by punching, this host meets hosts of every class", ""};
    case NatClass::port_restricted:
      return {"by punching, this host meets every host but those behind symmetric routers",
              cure_of(circumstances)};
    case NatClass::symmetric:
      return {
          "by punching, this host meets only hosts that are open, full cone or "
          "address-restricted; the others need a relay",
          cure_of(circumstances)};
  }
  return {};
}

}  // namespace ptrain::probe
