#include "libcommon/portmap/port_control_socket.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace ptrain::punch {
namespace {

constexpr int kMostAtOnce = 64;  // packets that are read before others have their turn

sockaddr_in v4_address(const net::AddressBytes& address, std::uint16_t port) {
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  std::memcpy(&v4.sin_addr, address.data() + 12, sizeof v4.sin_addr);
  return v4;
}

sockaddr_in6 v6_address(const net::AddressBytes& address, std::uint16_t port) {
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  std::memcpy(&v6.sin6_addr, address.data(), sizeof v6.sin6_addr);
  return v6;
}

template <class Address>
const sockaddr* as_any(const Address& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

// The interface's first IPv6 address that the world reaches.
std::optional<net::AddressBytes> world_address_of(const std::string& interface) {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return std::nullopt;
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> interfaces(list, &::freeifaddrs);
  for (const ifaddrs* each = list; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr || each->ifa_addr->sa_family != AF_INET6) continue;
    if (interface != each->ifa_name) continue;
    net::AddressBytes address{};
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(each->ifa_addr);
    std::memcpy(address.data(), &v6->sin6_addr, address.size());
    if (net::reach_of(address) == net::Reach::world) return address;
  }
  return std::nullopt;
}

GatewaySocket open_v4(const Gateway& gateway) {
  GatewaySocket socket;
  socket.file = os::FileDescriptor(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const sockaddr_in there = v4_address(gateway.address, kPortControlPort);
  sockaddr_in own{};
  socklen_t size = sizeof own;
  if (!socket.file.valid() || ::connect(socket.file.get(), as_any(there), sizeof there) != 0 ||
      ::getsockname(socket.file.get(), reinterpret_cast<sockaddr*>(&own), &size) != 0) {
    return {};
  }
  socket.own[10] = socket.own[11] = 0xff;
  std::memcpy(socket.own.data() + 12, &own.sin_addr, sizeof own.sin_addr);
  return socket;
}

GatewaySocket open_v6(const Gateway& gateway) {
  const auto own = world_address_of(gateway.interface);
  if (!own) return {};
  GatewaySocket socket{
      .file = os::FileDescriptor(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)),
      .own = *own};
  const sockaddr_in6 here = v6_address(*own, 0);
  sockaddr_in6 there = v6_address(gateway.address, kPortControlPort);
  there.sin6_scope_id = ::if_nametoindex(gateway.interface.c_str());
  if (!socket.file.valid() || ::bind(socket.file.get(), as_any(here), sizeof here) != 0 ||
      ::connect(socket.file.get(), as_any(there), sizeof there) != 0) {
    return {};
  }
  return socket;
}

}  // namespace

GatewaySocket open_gateway_socket(const Gateway& gateway) {
  return is_v4(gateway.address) ? open_v4(gateway) : open_v6(gateway);
}

PortControlSocket::PortControlSocket(os::Loop& loop, GatewaySocket socket,
                                     PortControl::NonceOf nonce_of, Replied replied)
    : loop_(loop),
      socket_(std::move(socket.file)),
      control_(socket.own, std::move(nonce_of)),
      replied_(std::move(replied)),
      timer_(loop.timer([this] { turn(); })),
      watch_(loop.watch(socket_.get(), [this] { read(); })) {}

void PortControlSocket::ask(Service service, const decltype(Ask::what)& what) {
  const TimePoint now = loop_.now();
  if (const auto* wanted = std::get_if<Map>(&what)) {
    control_.map(service, *wanted, now);
  } else if (const auto* gone = std::get_if<Unmap>(&what)) {
    control_.unmap(service, *gone, now);
  } else {
    control_.look(service, now);
  }
  timer_->set(now);
}

void PortControlSocket::read() {
  for (int i = 0; i < kMostAtOnce; ++i) {
    std::array<std::uint8_t, kMaxPcpBytes + 1> packet;  // one too long is seen to be so
    const ssize_t size = ::recv(socket_.get(), packet.data(), packet.size(), 0);
    if (size >= 0) {
      hand_out(control_.receive(std::span(packet).first(static_cast<std::size_t>(size))));
    } else if (errno == ECONNREFUSED) {
      hand_out(control_.unreachable());
    } else {
      break;  // there is no more now; other errors show as silence
    }
  }
  timer_->set(control_.next());
}

void PortControlSocket::turn() {
  const TimePoint now = loop_.now();
  hand_out(control_.silences(now));
  for (const PortControl::Packet& packet : control_.due(now)) {
    const ssize_t sent = ::send(socket_.get(), packet.data(), packet.size(), 0);
    // The error may be that of a packet before, which read() is told then as well, or not.
    if (sent < 0 && errno == ECONNREFUSED) hand_out(control_.unreachable());
  }
  timer_->set(control_.next());
}

void PortControlSocket::hand_out(const std::vector<PortControl::Reply>& replies) {
  for (const PortControl::Reply& reply : replies) replied_(reply);
}

}  // namespace ptrain::punch
