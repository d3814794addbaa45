// A network device whose cable ends in this process: Ethernet frames that the kernel sends over
// it are read here, and what is written here the kernel receives. It goes when the object does.
//
// The device promises the kernel no offloads, so every frame read is whole: of its own size, with
// its checksums. It may be moved to another network namespace while it is open. One thread.

#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include "libcommon/os/file_descriptor.h"

namespace ptrain::lab_link {

class Tap {
 public:
  // Makes the device in the network namespace of this process. Throws Error(io) when the kernel
  // refuses, Error(usage) when a device of that name exists.
  explicit Tap(std::string name);

  int fd() const { return fd_.get(); }

  // The next frame, in `room`; nullopt when none waits. Throws Error(io) when the device is gone.
  std::optional<std::span<const std::byte>> read(std::span<std::byte> room);
  // A device that is down takes nothing, as a cable to a machine that is off.
  void write(std::span<const std::byte> frame);

 private:
  std::string name_;
  os::FileDescriptor fd_;
};

}  // namespace ptrain::lab_link
