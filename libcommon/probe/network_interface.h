// Through which of this host's interfaces a peer is reached, and whether that is a tunnel: what is
// measured through a VPN is the VPN.

#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace ptrain::probe {

struct NetworkInterface {
  std::string name;
  bool tunnel = false;  // what leaves through it is wrapped again: WireGuard, tun, GRE, PPP
  bool operator==(const NetworkInterface&) const = default;
};

// Of a path as a node names it, "tcp://10.0.0.2:7001", "socks5://relay.example.net:7101"; nothing
// is sent to find it out, but a name may be looked up. nullopt of a socket file, and where the
// kernel does not say.
std::optional<NetworkInterface> interface_towards(std::string_view path);

// Of what Linux calls the type of an interface (if_arp.h).
bool is_tunnel(unsigned interface_type);

}  // namespace ptrain::probe
