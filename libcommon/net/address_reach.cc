#include "libcommon/net/address_reach.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace ptrain::net {
namespace {

constexpr unsigned kMappedBits = 96;  // of ::ffff:0:0/96

AddressBytes mapped(const in_addr& v4) {
  AddressBytes bytes{};
  bytes[10] = bytes[11] = 0xff;
  std::memcpy(bytes.data() + 12, &v4, sizeof v4);
  return bytes;
}

AddressBytes bytes_of(const in6_addr& v6) {
  AddressBytes bytes;
  std::memcpy(bytes.data(), &v6, bytes.size());
  return bytes;
}

Network v4_network(const char* text, unsigned bits) {
  in_addr address{};
  ::inet_pton(AF_INET, text, &address);
  return {mapped(address), kMappedBits + bits};
}

Network v6_network(const char* text, unsigned bits) {
  in6_addr address{};
  ::inet_pton(AF_INET6, text, &address);
  return {bytes_of(address), bits};
}

struct Range {
  Network network;
  Reach reach;
};

// The first that fits decides. IANA's registries of special-purpose addresses.
const std::vector<Range>& special_ranges() {
  static const std::vector<Range> ranges{
      {v4_network("0.0.0.0", 8), Reach::host},  // Linux dials itself for it
      {v4_network("127.0.0.0", 8), Reach::host},
      {v4_network("10.0.0.0", 8), Reach::network},
      {v4_network("100.64.0.0", 10), Reach::network},  // behind a carrier's NAT
      {v4_network("169.254.0.0", 16), Reach::link},
      {v4_network("172.16.0.0", 12), Reach::network},
      {v4_network("192.168.0.0", 16), Reach::network},
      {v4_network("198.18.0.0", 15), Reach::network},  // benchmarks of one's own network
      {v4_network("224.0.0.0", 3), Reach::link},       // multicast, reserved, broadcast
      {v4_network("0.0.0.0", 0), Reach::world},
      {v6_network("::", 127), Reach::host},  // unspecified, loopback
      {v6_network("fc00::", 7), Reach::network},
      {v6_network("2000::", 3), Reach::world},
  };
  return ranges;
}

}  // namespace

std::optional<AddressBytes> parse_address(std::string_view text) {
  if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
  const std::string word(text);
  in_addr v4{};
  if (::inet_pton(AF_INET, word.c_str(), &v4) == 1) return mapped(v4);
  in6_addr v6{};
  if (::inet_pton(AF_INET6, word.c_str(), &v6) == 1) return bytes_of(v6);
  return std::nullopt;
}

std::string counted_as(const AddressBytes& address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (v4_network("0.0.0.0", 0).contains(address)) {
    ::inet_ntop(AF_INET, address.data() + 12, text, sizeof text);
    return text;
  }
  AddressBytes network = address;
  std::fill(network.begin() + 8, network.end(), std::uint8_t{0});
  ::inet_ntop(AF_INET6, network.data(), text, sizeof text);
  return std::string(text) + "/64";
}

bool Network::contains(const AddressBytes& other) const {
  for (unsigned bit = 0; bit < prefix_bits; ++bit) {
    const auto mask = static_cast<std::uint8_t>(0x80u >> (bit % 8));
    if (((address[bit / 8] ^ other[bit / 8]) & mask) != 0) return false;
  }
  return true;
}

Reach reach_of(const AddressBytes& address) {
  for (const Range& range : special_ranges()) {
    if (range.network.contains(address)) return range.reach;
  }
  return Reach::link;  // of IPv6, what nobody routes: link-local, multicast, translations of IPv4
}

std::vector<Network> own_networks() {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return {};
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> interfaces(list, &::freeifaddrs);
  std::vector<Network> networks;
  for (const ifaddrs* each = list; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr || each->ifa_netmask == nullptr) continue;
    if ((each->ifa_flags & IFF_LOOPBACK) != 0 || (each->ifa_flags & IFF_UP) == 0) continue;
    Network network;
    AddressBytes mask{};
    if (each->ifa_addr->sa_family == AF_INET) {
      network.address = mapped(reinterpret_cast<const sockaddr_in*>(each->ifa_addr)->sin_addr);
      mask.fill(0xff);
      std::memcpy(mask.data() + 12,
                  &reinterpret_cast<const sockaddr_in*>(each->ifa_netmask)->sin_addr, 4);
    } else if (each->ifa_addr->sa_family == AF_INET6) {
      network.address = bytes_of(reinterpret_cast<const sockaddr_in6*>(each->ifa_addr)->sin6_addr);
      mask = bytes_of(reinterpret_cast<const sockaddr_in6*>(each->ifa_netmask)->sin6_addr);
    } else {
      continue;
    }
    network.prefix_bits = 0;
    for (const std::uint8_t byte : mask) {
      network.prefix_bits += static_cast<unsigned>(std::popcount(byte));
    }
    networks.push_back(network);
  }
  return networks;
}

bool may_be_dialled(const AddressBytes& address, const std::vector<Network>& own) {
  const Reach reach = reach_of(address);
  if (reach == Reach::world) return true;
  if (reach != Reach::network) return false;
  return std::ranges::any_of(own, [&](const Network& net) { return net.contains(address); });
}

bool may_be_dialled(const std::string& address) {
  const auto bytes = parse_address(address);
  return bytes && may_be_dialled(*bytes, own_networks());
}

}  // namespace ptrain::net
