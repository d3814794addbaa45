// Pipes for splice(2). A flow holds one only while bytes are in it, so a few serve all the
// flows whose receivers keep up. One thread.

#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "libcommon/os/file_descriptor.h"

namespace ptrain::relay {

// The most that a user without privileges gets. Measured on loopback (tests/bench/relay.sh), CPU
// seconds for a gigabyte: 0.30 with 64 KiB, 0.26 with 256 KiB, 0.24 with 512 KiB, 0.20 with 1 MiB.
// Such a user has 64 MiB of pipe in all (/proc/sys/fs/pipe-user-pages-soft): beyond that the
// kernel gives smaller ones, which only cost more calls.
inline constexpr int kPipeBytes = 1024 * 1024;

struct Pipe {
  os::FileDescriptor read_end;
  os::FileDescriptor write_end;
};

class PipePool {
 public:
  // Makes `kept` pipes, and keeps so many when they come back. Throws Error(io) when it cannot.
  explicit PipePool(std::size_t kept);

  // Empty when the process has no descriptors left: pipes that come back help.
  std::optional<Pipe> take();
  // An empty one.
  void give_back(Pipe pipe);

 private:
  std::size_t kept_;
  std::vector<Pipe> idle_;
};

}  // namespace ptrain::relay
