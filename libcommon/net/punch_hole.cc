#include "libcommon/net/punch_hole.h"

#include <cerrno>
#include <chrono>
#include <utility>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "libcommon/base/error.h"

namespace ptrain::net {
namespace {

using os::FileDescriptor;

constexpr int kWaitingCallers = 16;
// While nothing is sent: has the other end forgotten us?
constexpr int kHoleKeepIdleS = 5;
constexpr int kHoleKeepIntervalS = 1;

void set(int fd, int level, int name, int value) {
  ::setsockopt(fd, level, name, &value, sizeof value);
}

// Both: the one lets a port be used again right after, the other by several sockets at once.
FileDescriptor bound_socket(int family, std::uint16_t port) {
  FileDescriptor fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return fd;
  set(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  set(fd.get(), SOL_SOCKET, SO_REUSEPORT, 1);
  if (family == AF_INET6) set(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 1);
  const NumericAddress here = any_address(family, port);
  if (::bind(fd.get(), here.get(), here.length) != 0) return {};
  return fd;
}

void prepare_connection(int fd) {
  set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set(fd, IPPROTO_TCP, TCP_KEEPIDLE, kHoleKeepIdleS);
  set(fd, IPPROTO_TCP, TCP_KEEPINTVL, kHoleKeepIntervalS);
}

// Of a port that was not chosen: an exclusive look first, for with SO_REUSEPORT another process of
// ours could share it, and its callers would come here.
bool is_free(std::uint16_t port) {
  const FileDescriptor fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return false;
  set(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);  // what only lingers is no reason
  const NumericAddress here = any_address(AF_INET, port);
  return ::bind(fd.get(), here.get(), here.length) == 0;
}

}  // namespace

PunchHole::PunchHole(std::uint16_t port) {
  if (port != 0 && is_free(port) && open(port)) return;
  if (!open(0)) throw io_error("open a port to be met at", errno);
}

bool PunchHole::open(std::uint16_t port) {
  v4_ = bound_socket(AF_INET, port);
  if (!v4_.valid() || ::listen(v4_.get(), kWaitingCallers) != 0) return false;
  sockaddr_storage here{};
  socklen_t length = sizeof here;
  if (::getsockname(v4_.get(), reinterpret_cast<sockaddr*>(&here), &length) != 0) return false;
  port_ = endpoint_of(here).port;
  v6_ = bound_socket(AF_INET6, port_);
  if (v6_.valid() && ::listen(v6_.get(), kWaitingCallers) != 0) v6_.reset();
  return true;
}

std::vector<int> PunchHole::listeners() const {
  std::vector<int> all{v4_.get()};
  if (v6_.valid()) all.push_back(v6_.get());
  return all;
}

PunchHole::Begun PunchHole::connect(const NumericAddress& to) const {
  Begun begun;
  begun.socket = bound_socket(to.family(), port_);
  if (!begun.socket.valid()) return {.error = errno};
  prepare_connection(begun.socket.get());
  if (::connect(begun.socket.get(), to.get(), to.length) == 0 || errno == EINPROGRESS) return begun;
  return {.error = errno};
}

std::optional<PunchHole::Came> PunchHole::accept(int listener) {
  sockaddr_storage from{};
  socklen_t length = sizeof from;
  FileDescriptor fd(::accept4(listener, reinterpret_cast<sockaddr*>(&from), &length,
                              SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd.valid()) return std::nullopt;
  prepare_connection(fd.get());
  return Came{std::move(fd), endpoint_of(from)};
}

}  // namespace ptrain::net
