#include "tools/punch/announcements.h"

#include <array>
#include <cstring>
#include <utility>

#include <netinet/in.h>
#include <sys/socket.h>

#include "libcommon/portmap/nat_pmp_message.h"
#include "libcommon/portmap/pcp_message.h"

namespace ptrain::punch {
namespace {

constexpr int kMostAtOnce = 64;

// Both are sent to all hosts of a net, a group that every host is in; several programs may listen.
os::FileDescriptor open_socket(Announcements::Family family) {
  const bool v4 = family == Announcements::Family::v4;
  os::FileDescriptor socket(
      ::socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return {};
  const int yes = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes);
  sockaddr_in any4{};
  any4.sin_family = AF_INET;
  any4.sin_port = htons(kAnnouncementPort);
  sockaddr_in6 any6{};
  any6.sin6_family = AF_INET6;
  any6.sin6_port = htons(kAnnouncementPort);
  if (!v4) ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes);
  const int bound = v4 ? ::bind(socket.get(), reinterpret_cast<sockaddr*>(&any4), sizeof any4)
                       : ::bind(socket.get(), reinterpret_cast<sockaddr*>(&any6), sizeof any6);
  return bound == 0 ? std::move(socket) : os::FileDescriptor();
}

net::AddressBytes address_of(const sockaddr_storage& from) {
  net::AddressBytes address{};
  if (from.ss_family == AF_INET) {
    address[10] = address[11] = 0xff;
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(from);
    std::memcpy(address.data() + 12, &v4.sin_addr, sizeof v4.sin_addr);
  } else {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(from);
    std::memcpy(address.data(), &v6.sin6_addr, sizeof v6.sin6_addr);
  }
  return address;
}

}  // namespace

bool is_announcement(std::span<const std::uint8_t> packet) {
  if (const auto pcp = decode_pcp_answer(packet)) return pcp->opcode == PcpOpcode::announce;
  const auto nat_pmp = decode_nat_pmp_answer(packet);
  return nat_pmp && nat_pmp->address.has_value();
}

Announcements::Announcements(os::Loop& loop, Family family, Heard heard)
    : socket_(open_socket(family)), heard_(std::move(heard)) {
  if (socket_.valid()) watch_ = loop.watch(socket_.get(), [this] { read(); });
}

void Announcements::read() {
  for (int i = 0; i < kMostAtOnce; ++i) {
    std::array<std::uint8_t, kMaxPcpBytes + 1> packet;
    sockaddr_storage from{};
    socklen_t size_of_from = sizeof from;
    const ssize_t size = ::recvfrom(socket_.get(), packet.data(), packet.size(), 0,
                                    reinterpret_cast<sockaddr*>(&from), &size_of_from);
    if (size < 0) return;
    if (is_announcement(std::span(packet).first(static_cast<std::size_t>(size)))) {
      heard_(address_of(from));
    }
  }
}

}  // namespace ptrain::punch
