#include "tools/relay/carrier/poller.h"

#include <algorithm>
#include <cerrno>

#include "libcommon/base/error.h"

namespace ptrain::relay {

Poller::Poller() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (!epoll_.valid()) throw io_error("make an epoll", errno);
}

bool Poller::watch(int fd, Watched& watched, std::uint32_t events) {
  epoll_event event{.events = events, .data = {.ptr = &watched}};
  return ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

void Poller::change(int fd, Watched& watched, std::uint32_t events) {
  epoll_event event{.events = events, .data = {.ptr = &watched}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0) {
    throw io_error("change what is watched", errno);
  }
}

void Poller::forget(int fd, const Watched& watched) {
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  for (int i = 0; i < pending_; ++i) {
    if (events_[i].data.ptr == &watched) events_[i].data.ptr = nullptr;
  }
}

void Poller::wait(Duration at_most) {
  // Rounded up: a wait that ends too early is followed by another one at once.
  const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(at_most).count();
  const int timeout = static_cast<int>(std::clamp<std::int64_t>(milliseconds, 0, 60'000));
  const int count = ::epoll_wait(epoll_.get(), events_.data(), events_.size(), timeout);
  if (count < 0 && errno != EINTR) throw io_error("wait for events", errno);
  pending_ = std::max(count, 0);
  for (int i = 0; i < pending_; ++i) {
    if (events_[i].data.ptr == nullptr) continue;
    static_cast<Watched*>(events_[i].data.ptr)->on_events(events_[i].events);
  }
  pending_ = 0;
}

}  // namespace ptrain::relay
