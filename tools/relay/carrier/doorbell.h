// Wakes a thread that waits in poll() or epoll: readable from ring() until silence().
// Any thread.

#pragma once

#include "libcommon/os/file_descriptor.h"

namespace ptrain::relay {

class Doorbell {
 public:
  // Throws Error(io) when there is no descriptor left for it.
  Doorbell();

  int fd() const { return event_.get(); }
  void ring();
  void silence();

 private:
  os::FileDescriptor event_;
};

}  // namespace ptrain::relay
