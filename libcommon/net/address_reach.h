// What a numeric address says: whom it counts as, and how far it reaches, and so whether an address
// that a peer names may be dialled. Pure, but for own_networks().
//
// A member of a run publishes where it can be dialled, and may say anything: an address of the
// reader's own host, of its LAN's router, or of somebody who has nothing to do with the run.

#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ptrain::net {

// Both families as IPv6; IPv4 is ::ffff:a.b.c.d.
using AddressBytes = std::array<std::uint8_t, 16>;

// "192.0.2.1", "2001:db8::1" or "[2001:db8::1]"; nullopt for names, scopes, and short forms of IPv4
// ("127.1"), which some parsers take for addresses.
std::optional<AddressBytes> parse_address(std::string_view text);

// Numeric; of IPv6 the /64, which one host has to itself: "2001:db8::/64".
std::string counted_as(const AddressBytes& address);

enum class Reach {
  host,     // loopback, unspecified: the reader itself
  link,     // link-local, multicast, broadcast, reserved: nobody in particular
  network,  // private: another host on each net that has it
  world,
};
Reach reach_of(const AddressBytes& address);

struct Network {
  AddressBytes address{};
  unsigned prefix_bits = 128;
  bool contains(const AddressBytes& other) const;
  bool operator==(const Network&) const = default;
};

// Those of this host's interfaces that are up, without loopback; none where they cannot be listed.
std::vector<Network> own_networks();

// Whether an address that somebody else has named may be dialled: what the world reaches, and
// private ones of a net that we are on ourselves.
bool may_be_dialled(const AddressBytes& address, const std::vector<Network>& own);
// The same of this host's networks as they are now, and of a numeric address in any form.
bool may_be_dialled(const std::string& address);

}  // namespace ptrain::net
