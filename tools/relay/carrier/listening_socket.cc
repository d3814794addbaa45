#include "tools/relay/carrier/listening_socket.h"

#include <cerrno>
#include <cstring>
#include <memory>

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "libcommon/base/error.h"

namespace ptrain::relay {
namespace {

constexpr int kBacklog = 1024;

using Addresses = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

Addresses addresses_of(const std::string& host, std::uint16_t port, int type) {
  std::string bare = host == "*" ? "0.0.0.0" : host;
  if (bare.size() > 2 && bare.front() == '[' && bare.back() == ']') {
    bare = bare.substr(1, bare.size() - 2);
  }
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICSERV | AI_PASSIVE;
  hints.ai_socktype = type;
  addrinfo* found = nullptr;
  if (::getaddrinfo(bare.c_str(), fmt::format("{}", port).c_str(), &hints, &found) != 0) {
    throw Error(ErrorKind::usage, fmt::format("listen on {}: not an address", host),
                "0.0.0.0 is every IPv4 address of this machine, [::] every one");
  }
  return {found, &::freeaddrinfo};
}

void set_on(const os::FileDescriptor& socket, int option) {
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, option, &on, sizeof on);
}

}  // namespace

os::FileDescriptor listening_socket(const std::string& host, std::uint16_t port, int type) {
  const Addresses addresses = addresses_of(host, port, type);
  os::FileDescriptor socket(::socket(addresses->ai_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  // For UDP it would let another process take half of the packets.
  if (type == SOCK_STREAM) set_on(socket, SO_REUSEADDR);
  if (!socket.valid() || ::bind(socket.get(), addresses->ai_addr, addresses->ai_addrlen) != 0 ||
      (type == SOCK_STREAM && ::listen(socket.get(), kBacklog) != 0)) {
    const int error_number = errno;
    throw io_error(fmt::format("listen on {}:{}", host, port), error_number,
                   error_number == EADDRINUSE
                       ? "another process has that port: end it, or choose another"
                       : "the address must be one of this machine's, or 0.0.0.0 for all");
  }
  return socket;
}

std::uint16_t port_of(const os::FileDescriptor& socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw io_error("ask for a socket's port", errno);
  }
  return ntohs(address.ss_family == AF_INET6
                   ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                   : reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

}  // namespace ptrain::relay
