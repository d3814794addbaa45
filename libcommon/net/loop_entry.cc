#include "libcommon/net/loop_entry.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "libcommon/base/error.h"

namespace ptrain::net {
namespace {

bool more_waits(const PollItem& item) {
  // The loop goes on telling of a plain descriptor.
  return item.socket != nullptr && item.more_waits(item.socket);
}

// How often is looked at what the kernel has no room to watch.
constexpr Duration kUnwatchedLook = std::chrono::milliseconds(100);

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
  bool all_watched = true;
  for (const PollItem& item : items_) {
    const auto known = std::ranges::find(watched_, item, &Watched::item);
    try {
      if (known != watched_.end() && known->watch) {
        known->watch->renew();
        watched.push_back(std::move(*known));
      } else {
        watched.push_back({item, loop_.watch(item.fd, [this] { look(); })});
      }
    } catch (const Error&) {
      all_watched = false;
    }
  }
  watched_ = std::move(watched);
  const TimePoint next = polled_.next_tick();
  timer_->set(all_watched ? next : std::min(next, loop_.now() + kUnwatchedLook));
  if (look_deferred_ || std::ranges::none_of(items_, more_waits)) return;
  look_deferred_ = true;
  loop_.defer([this, here = std::weak_ptr(here_)] {
    if (here.expired()) return;
    look_deferred_ = false;
    look();
  });
}

}  // namespace ptrain::net
