#include "libcommon/net/loop_entry.h"

#include <algorithm>
#include <utility>

namespace ptrain::net {
namespace {

int fd_of(const zmq_pollitem_t& item) {
  if (item.socket == nullptr) return item.fd;
  int fd = -1;
  std::size_t size = sizeof fd;
  zmq_getsockopt(item.socket, ZMQ_FD, &fd, &size);
  return fd;
}

bool more_waits(const zmq_pollitem_t& item) {
  if (item.socket == nullptr) return false;  // the loop goes on telling of a plain descriptor
  int events = 0;
  std::size_t size = sizeof events;
  return zmq_getsockopt(item.socket, ZMQ_EVENTS, &events, &size) == 0 && (events & ZMQ_POLLIN) != 0;
}

}  // namespace

LoopEntry::LoopEntry(os::Loop& loop, Polled polled)
    : loop_(loop), polled_(std::move(polled)), timer_(loop.timer([this] { look(); })) {
  touched();
}

void LoopEntry::touched() {
  if (std::exchange(renewal_deferred_, true)) return;
  loop_.defer([this, here = std::weak_ptr(here_)] {
    if (here.expired()) return;
    renewal_deferred_ = false;
    renew();
  });
}

void LoopEntry::look() {
  const std::weak_ptr here(here_);
  polled_.process();
  if (!here.expired()) renew();
}

void LoopEntry::renew() {
  items_.clear();
  polled_.add_poll_items(items_);
  std::vector<Watched> watched;
  for (const zmq_pollitem_t& item : items_) {
    const int fd = fd_of(item);
    const auto known = std::ranges::find_if(
        watched_, [&](const Watched& each) { return each.socket == item.socket && each.fd == fd; });
    if (known != watched_.end() && known->watch) {
      watched.push_back(std::move(*known));
      watched.back().watch->renew();
    } else {
      watched.push_back({item.socket, fd, loop_.watch(fd, [this] { look(); })});
    }
  }
  watched_ = std::move(watched);
  timer_->set(polled_.next_tick());
  if (look_deferred_ || std::ranges::none_of(items_, more_waits)) return;
  look_deferred_ = true;
  loop_.defer([this, here = std::weak_ptr(here_)] {
    if (here.expired()) return;
    look_deferred_ = false;
    look();
  });
}

}  // namespace ptrain::net
