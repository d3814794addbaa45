// What is mapped: a port of this host, and where others reach it. Values.

#pragma once

#include <compare>
#include <cstdint>
#include <string>

#include "libcommon/net/address_reach.h"

namespace ptrain::punch {

enum class Transport : std::uint8_t { tcp = 6, udp = 17 };  // IANA's numbers, as in PCP's messages

struct Port {
  Transport transport = Transport::tcp;
  std::uint16_t number = 0;
  auto operator<=>(const Port&) const = default;
};

struct Outside {
  net::AddressBytes address{};
  std::uint16_t port = 0;
  auto operator<=>(const Outside&) const = default;
};

const char* name_of(Transport transport);  // "tcp"
std::string to_string(const Port& port);   // "tcp 7100"
// "198.51.100.7", "2001:db8::1"
std::string address_text(const net::AddressBytes& address);
bool is_v4(const net::AddressBytes& address);
// ::ffff:0.0.0.0 or ::, which is none.
bool is_unspecified(const net::AddressBytes& address);
// "tcp://198.51.100.7:7100", "udp://[2001:db8::1]:7101"
std::string endpoint_text(Transport transport, const Outside& outside);

// Why nobody outside can use it, where that is so: the address is not one of the internet. In a
// sentence without its end, and what would cure it.
struct Worthless {
  std::string why;
  std::string cure;
};
// Empty text: it is worth something.
Worthless worthless(const net::AddressBytes& outside);

}  // namespace ptrain::punch
