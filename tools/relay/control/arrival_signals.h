// Which of many TCP sockets something has come to since the last question: an idle one costs
// nothing.
//
// Another thread reads the sockets, so that what came is often gone when it is asked for, and epoll
// tells of no event that is over. But it looks again at a socket to which something came, and tells
// then of all that it is ready for: one that waits to be read or can be written to is told of. One
// that can do neither is not; who wrote to it must look at it themselves.

#pragma once

#include <array>
#include <cstddef>
#include <set>

#include <sys/epoll.h>

#include "libcommon/os/file_descriptor.h"

namespace ptrain::relay {

class ArrivalSignals {
 public:
  // A socket that is closed is left by itself. False where nothing will be told of it.
  bool add(int socket) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLET;
    event.data.fd = socket;
    return ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, socket, &event) == 0;
  }
  void remove(int socket) { ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, socket, nullptr); }

  std::set<int> take() {
    std::set<int> sockets;
    std::array<epoll_event, 256> events{};
    for (;;) {
      const int count =
          ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);
      for (int i = 0; i < count; ++i) sockets.insert(events[static_cast<std::size_t>(i)].data.fd);
      if (count < static_cast<int>(events.size())) return sockets;
    }
  }

 private:
  os::FileDescriptor epoll_{::epoll_create1(EPOLL_CLOEXEC)};
};

}  // namespace ptrain::relay
