#include "libcommon/portmap/mapped_port.h"

#include <algorithm>
#include <array>

#include <arpa/inet.h>
#include <fmt/format.h>

namespace ptrain::punch {
namespace {

constexpr std::size_t kV4At = 12;  // of ::ffff:a.b.c.d

bool of_a_carrier(const net::AddressBytes& address) {
  static const net::Network shared{*net::parse_address("100.64.0.0"), 96 + 10};  // RFC 6598
  return shared.contains(address);
}

}  // namespace

const char* name_of(Transport transport) { return transport == Transport::tcp ? "tcp" : "udp"; }

std::string to_string(const Port& port) {
  return fmt::format("{} {}", name_of(port.transport), port.number);
}

bool is_v4(const net::AddressBytes& address) {
  static const net::Network v4{*net::parse_address("0.0.0.0"), 96};
  return v4.contains(address);
}

bool is_unspecified(const net::AddressBytes& address) {
  const auto begin = is_v4(address) ? address.begin() + kV4At : address.begin();
  return std::all_of(begin, address.end(), [](std::uint8_t byte) { return byte == 0; });
}

std::string address_text(const net::AddressBytes& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (is_v4(address)) {
    ::inet_ntop(AF_INET, address.data() + kV4At, text.data(), text.size());
  } else {
    ::inet_ntop(AF_INET6, address.data(), text.data(), text.size());
  }
  return text.data();
}

std::string endpoint_text(Transport transport, const Outside& outside) {
  const std::string host = address_text(outside.address);
  return is_v4(outside.address)
             ? fmt::format("{}://{}:{}", name_of(transport), host, outside.port)
             : fmt::format("{}://[{}]:{}", name_of(transport), host, outside.port);
}

Worthless worthless(const net::AddressBytes& outside) {
  if (is_unspecified(outside)) {
    return {"the router has no outside address now", "wait until it is connected"};
  }
  if (net::reach_of(outside) == net::Reach::world) return {};
  const std::string address = address_text(outside);
  if (of_a_carrier(outside)) {
    return {
        fmt::format("the router's outside address {} is one of a carrier's NAT (100.64.0.0/10), "
                    "which maps nothing for it",
                    address),
        "ask the carrier for a public IPv4 address, use IPv6, or let others reach you through a "
        "relay (ptrain-relay(1))"};
  }
  return {
      fmt::format("the router's outside address {} is a private one: another router lies before "
                  "it, which maps nothing for it",
                  address),
      "let that other router bridge, or map the port there to this one, or let others reach you "
      "through a relay (ptrain-relay(1))"};
}

}  // namespace ptrain::punch
