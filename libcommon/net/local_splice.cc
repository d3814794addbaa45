#include "libcommon/net/local_splice.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "libcommon/base/error.h"
#include "libcommon/os/splice_pump.h"
#include "libcommon/os/tcp_silence.h"

namespace ptrain::net {
namespace {

using os::FileDescriptor;
using os::SplicePump;

constexpr Duration kLibzmqTimeout = std::chrono::seconds(5);  // for it to come
constexpr std::size_t kSpliceTurnBytes = 4 << 20;
constexpr Duration kSilenceLook = os::kTcpSilenceInterval;

int whole_ms(Duration duration) {
  return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(duration).count());
}

sockaddr_un abstract_address(const std::string& name, socklen_t& length) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::size_t count = std::min(name.size(), sizeof address.sun_path - 1);
  std::memcpy(address.sun_path + 1, name.data(), count);
  length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + count);
  return address;
}

FileDescriptor dial_libzmq(const sockaddr_un& address, socklen_t length) {
  FileDescriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) throw io_error("make a socket", errno);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0) {
    throw io_error("reach our own listener", errno);
  }
  if (::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) | O_NONBLOCK) != 0) {
    throw io_error("make a socket non-blocking", errno);
  }
  return fd;
}

FileDescriptor listen_for_libzmq(const sockaddr_un& address, socklen_t length) {
  FileDescriptor listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener.valid()) throw io_error("make a socket", errno);
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0 ||
      ::listen(listener.get(), 1) != 0) {
    throw io_error("listen on a socket of our own", errno);
  }
  return listener;
}

std::optional<FileDescriptor> await_libzmq(int listener, int stop) {
  std::array<pollfd, 2> items{pollfd{listener, POLLIN, 0}, pollfd{stop, POLLIN, 0}};
  const TimePoint deadline = std::chrono::steady_clock::now() + kLibzmqTimeout;
  while (true) {
    const TimePoint now = std::chrono::steady_clock::now();
    if (now >= deadline) throw Error(ErrorKind::unavailable, "no local end in time");
    ::poll(items.data(), items.size(), whole_ms(deadline - now));
    if (items[1].revents != 0) return std::nullopt;
    if (items[0].revents != 0) break;
  }
  FileDescriptor fd(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd.valid()) throw io_error("accept our own connection", errno);
  // CURVE keeps other users of this host out of the conversation; this keeps them out of the way.
  ucred peer{};
  socklen_t size = sizeof peer;
  ::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size);
  if (peer.uid != ::geteuid()) {
    throw Error(ErrorKind::unavailable, "another user of this host came first");
  }
  return fd;
}

}  // namespace

std::optional<FileDescriptor> meet_libzmq(LocalEnd end, const std::string& name, int stop,
                                          const std::function<void()>& ready) {
  socklen_t length = 0;
  const sockaddr_un address = abstract_address(name, length);
  if (end == LocalEnd::dials) {
    FileDescriptor fd = dial_libzmq(address, length);
    ready();
    return fd;
  }
  const FileDescriptor listener = listen_for_libzmq(address, length);
  ready();
  return await_libzmq(listener.get(), stop);
}

void splice_both_ways(int remote, int local, int stop, CarriedBytes& carried) {
  SplicePump out(local, remote);
  SplicePump in(remote, local);
  auto out_state = SplicePump::State::hungry;
  auto in_state = SplicePump::State::hungry;
  os::TcpSilence silence;
  TimePoint next_look{};
  const auto over = [](SplicePump::State state) { return state >= SplicePump::State::ended; };
  while (true) {
    if (!over(out_state)) out_state = out.turn(kSpliceTurnBytes);
    if (!over(in_state)) in_state = in.turn(kSpliceTurnBytes);
    carried = in.moved_bytes();
    // One way ended is the end of both: a ZeroMQ connection has no use for half of one.
    if (over(out_state) || over(in_state)) return;
    const auto events = [](SplicePump::State from, SplicePump::State to) {
      return static_cast<short>((from == SplicePump::State::hungry ? POLLIN : 0) |
                                (to == SplicePump::State::full ? POLLOUT : 0));
    };
    const bool at_once =
        out_state == SplicePump::State::busy || in_state == SplicePump::State::busy;
    std::array<pollfd, 3> items{pollfd{remote, events(in_state, out_state), 0},
                                pollfd{local, events(out_state, in_state), 0},
                                pollfd{stop, POLLIN, 0}};
    ::poll(items.data(), items.size(), at_once ? 0 : whole_ms(kSilenceLook));
    if (items[2].revents != 0) return;
    const TimePoint now = std::chrono::steady_clock::now();
    if (now >= next_look) {
      const auto state = os::read_tcp_state(remote);
      if (state && silence.noticed(*state, now)) return;
      next_look = now + kSilenceLook;
    }
    if (((items[0].revents | items[1].revents) & (POLLERR | POLLHUP)) != 0 && !at_once) {
      // What is still on its way is sent again by the session.
      in.turn(kSpliceTurnBytes);
      return;
    }
  }
}

}  // namespace ptrain::net
