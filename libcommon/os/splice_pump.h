// Moves bytes from one stream socket to another inside the kernel (splice(2)), one way.
//
// Non-blocking: turn() moves what it can within a budget and says what it waits for. The end of
// the source is passed on once all before it has been. Owns the pipe in between, not the sockets.

#pragma once

#include <cstddef>
#include <cstdint>

#include "libcommon/os/file_descriptor.h"

namespace ptrain::os {

class SplicePump {
 public:
  enum class State {
    hungry,  // waits for the source to have something
    full,    // waits for the sink to take something
    busy,    // stopped at the budget: there may be more
    ended,   // the source has ended, and the sink was told
    broken,  // one of the two failed
  };

  // Both are non-blocking stream sockets that outlive the object. Throws Error(io) when there is
  // no pipe to be had.
  SplicePump(int source, int sink);

  State turn(std::size_t budget_bytes);
  std::uint64_t moved_bytes() const { return moved_; }

 private:
  State fill();
  State drain();

  int source_;
  int sink_;
  FileDescriptor out_;  // of the pipe
  FileDescriptor in_;
  std::size_t held_ = 0;  // bytes in the pipe
  bool source_ended_ = false;
  std::uint64_t moved_ = 0;
};

}  // namespace ptrain::os
