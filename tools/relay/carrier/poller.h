// epoll, with an object for each descriptor. One thread.
//
// An object may be forgotten, and destroyed, while the events of one wait() are handed out:
// none comes after forget().

#pragma once

#include <array>
#include <cstdint>

#include <sys/epoll.h>

#include "libcommon/base/clock.h"
#include "libcommon/os/file_descriptor.h"

namespace ptrain::relay {

class Watched {
 public:
  virtual ~Watched() = default;
  virtual void on_events(std::uint32_t events) = 0;
};

inline constexpr std::size_t kEventsPerWait = 256;

class Poller {
 public:
  Poller();

  // `watched` outlives its being watched. False when the kernel has no room for another.
  bool watch(int fd, Watched& watched, std::uint32_t events);
  void change(int fd, Watched& watched, std::uint32_t events);
  void forget(int fd, const Watched& watched);

  // Waits at most so long for events and hands them to their objects.
  void wait(Duration at_most);

 private:
  os::FileDescriptor epoll_;
  std::array<epoll_event, kEventsPerWait> events_;
  int pending_ = 0;
};

}  // namespace ptrain::relay
