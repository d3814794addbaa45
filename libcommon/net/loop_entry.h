// What is polled (descriptors, sockets of a library, a time), entered into an event loop.
//
// After each look, and after whatever was sent, each socket of a library is asked whether more
// waits (poll_item.h), and looked at again if so. Sockets may come and go with each look. Loop's
// thread only.

#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "libcommon/net/poll_item.h"
#include "libcommon/os/loop.h"

namespace ptrain::net {

class LoopEntry {
 public:
  struct Polled {
    std::function<void(std::vector<PollItem>&)> add_poll_items;
    std::function<void()> process;  // reads what has come, a bounded amount, without waiting
    std::function<TimePoint()> next_tick;
  };
  // `loop` outlives the object.
  LoopEntry(os::Loop& loop, Polled polled);

  // Something was sent, closed or decided from outside.
  void touched();

 private:
  struct Watched {
    PollItem item;
    std::unique_ptr<os::Loop::Watch> watch;
  };
  void look();
  void renew();

  os::Loop& loop_;
  Polled polled_;
  std::vector<PollItem> items_;
  std::vector<Watched> watched_;
  std::unique_ptr<os::Loop::Timer> timer_;
  bool look_deferred_ = false;
  bool renewal_deferred_ = false;
  std::shared_ptr<bool> here_ = std::make_shared<bool>(true);  // what is deferred may come too late
};

}  // namespace ptrain::net
