#include "libcommon/net/loop_entry.h"

#include <algorithm>
#include <utility>

namespace ptrain::net {
namespace {

bool more_waits(const PollItem& item) {
  // The loop goes on telling of a plain descriptor.
  return item.socket != nullptr && item.more_waits(item.socket);
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
  for (const PollItem& item : items_) {
    const auto known = std::ranges::find(watched_, item, &Watched::item);
    if (known != watched_.end() && known->watch) {
      watched.push_back(std::move(*known));
      watched.back().watch->renew();
    } else {
      watched.push_back({item, loop_.watch(item.fd, [this] { look(); })});
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
