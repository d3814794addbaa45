// One direction of a stream: bytes from one socket to another by splice(2), which moves pages
// and copies nothing into this process. One thread.

#pragma once

#include <cstddef>
#include <optional>

#include "tools/relay/carrier/pipe_pool.h"

namespace ptrain::relay {

class Flow {
 public:
  enum class State {
    blocked,  // until a socket is ready
    more,     // the turn is over, the bytes are not
    no_pipe,  // until one comes back
    ended,    // the sender closed its side, and the receiver was told
    broken,   // a socket failed
  };
  struct Turn {
    State state = State::blocked;
    std::size_t moved = 0;
  };

  // Both sockets are nonblocking and outlive the object.
  Flow(int from, int to) : from_(from), to_(to) {}

  void may_read() { readable_ = true; }
  void may_write() { writable_ = true; }
  bool ended() const { return told_; }

  // Moves about `budget` bytes at most.
  Turn turn(std::size_t budget, PipePool& pipes);

 private:
  enum class Step { moved, blocked, no_pipe, broken };
  Step fill(PipePool& pipes);
  Step drain(PipePool& pipes);

  int from_;
  int to_;
  bool readable_ = false;
  bool writable_ = false;
  bool told_ = false;         // the receiver, of the end
  std::optional<Pipe> pipe_;  // there while in_pipe_ is not 0
  std::size_t in_pipe_ = 0;
};

}  // namespace ptrain::relay
