// What is polled (ZeroMQ sockets, descriptors, a time), entered into an event loop.
//
// A socket of libzmq is watched by its ZMQ_FD, which says that something has happened inside, once,
// and not that a message waits: so after each look, and after whatever was sent, the socket is
// asked whether more waits, and looked at again if so. Sockets may come and go with each look.
// Loop's thread only.

#pragma once

#include <functional>
#include <memory>
#include <vector>

#include <zmq.h>

#include "libcommon/os/loop.h"

namespace ptrain::net {

class LoopEntry {
 public:
  struct Polled {
    std::function<void(std::vector<zmq_pollitem_t>&)> add_poll_items;
    std::function<void()> process;  // reads what has come, a bounded amount, without waiting
    std::function<TimePoint()> next_tick;
  };
  // `loop` outlives the object.
  LoopEntry(os::Loop& loop, Polled polled);

  // Something was sent, closed or decided from outside.
  void touched();

 private:
  struct Watched {
    void* socket;
    int fd;
    std::unique_ptr<os::Loop::Watch> watch;
  };
  void look();
  void renew();

  os::Loop& loop_;
  Polled polled_;
  std::vector<zmq_pollitem_t> items_;
  std::vector<Watched> watched_;
  std::unique_ptr<os::Loop::Timer> timer_;
  bool look_deferred_ = false;
  bool renewal_deferred_ = false;
  std::shared_ptr<bool> here_ = std::make_shared<bool>(true);  // what is deferred may come too late
};

}  // namespace ptrain::net
