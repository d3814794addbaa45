// What a router does with UDP, after what was seen of it from outside: its mapping and its
// filtering in the words of RFC 4787, the class that people know it by, and what that means. Pure.

#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/probe/socket_address.h"

namespace ptrain::probe {

// What one relay's echo said.
struct EchoFindings {
  std::optional<SocketAddress> seen[2];   // our one socket, from the relay's one port and the other
  std::optional<Duration> round_trip{};   // of UDP
  std::optional<Duration> tcp_connect{};  // one round trip as well
  bool operator==(const EchoFindings&) const = default;
};

struct NatFindings {
  std::vector<net::AddressBytes> relays;  // where each was asked
  std::vector<EchoFindings> echoes;       // of each
  std::optional<SocketAddress> own{};     // of the socket that asked them, as the kernel has it
  // What comes to a socket that has sent something to one port of one relay: from that relay's
  // other port, and from another relay. nullopt: not known.
  std::optional<bool> other_port_passes{};
  std::optional<bool> other_host_passes{};
  std::optional<bool> hairpin{};  // from another socket of ours, by the outside address
};

enum class Mapping {
  unknown,
  none,  // seen by its own address
  endpoint_independent,
  independent_or_address_dependent,  // one relay cannot tell
  address_dependent,
  address_and_port_dependent,
};
enum class Filtering { unknown, none, none_or_address, address, address_and_port };
enum class NatClass {
  unknown,  // nothing answered
  blocked,  // UDP; TCP passes
  open,
  firewall,  // no NAT, but what was not asked for is dropped
  full_cone,
  full_cone_or_address_restricted,  // one relay cannot tell
  address_restricted,
  port_restricted,
  symmetric,
};
std::string_view name_of(Mapping mapping);
std::string_view name_of(Filtering filtering);
std::string_view name_of(NatClass nat_class);  // "full cone or address-restricted"

struct NatVerdict {
  NatClass nat_class = NatClass::unknown;
  Mapping mapping = Mapping::unknown;
  Filtering filtering = Filtering::unknown;
  std::optional<SocketAddress> outside{};  // where the nearest relay that answered sees the socket
  bool other_port = false;                 // the outside port is not the inside one
  std::optional<std::size_t> nearest{};    // relay
};
NatVerdict verdict_of(const NatFindings& findings);

// How long a way to that relay takes; UDP's where there is one.
std::optional<Duration> latency_of(const EchoFindings& echo);

// Whether an address is one that carriers give to homes behind a NAT of theirs (RFC 6598).
bool is_of_a_carrier(const net::AddressBytes& host);

// A sentence of what it means for who wants to reach others and be reached, and what would help;
// empty where nothing is to be cured.
struct NatMeaning {
  std::string means;
  std::string cure;
};
struct NatCircumstances {
  bool behind_carrier = false;
  std::optional<bool> maps_ports{};  // a mapping service answers with an address of the internet
  bool reached_by_ipv6 = false;      // an address of the internet, with which a relay was reached
};
NatMeaning meaning_of(NatClass nat_class, const NatCircumstances& circumstances);

}  // namespace ptrain::probe
