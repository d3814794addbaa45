// A relay's claim on its state folder, for as long as its process lives: two relays of one folder
// would have one key, answer for each other's members, and write over each other's registry.
//
// A disk without locks cannot be asked: then a warning says so, and the relay goes on.

#pragma once

#include <filesystem>

#include "libcommon/base/log.h"
#include "libcommon/os/file_descriptor.h"

namespace ptrain::relay {

class StateLock {
 public:
  // The folder is there. Throws Error(try_again) that names the process which has it, Error(io)
  // where the lock cannot be written.
  StateLock(const std::filesystem::path& state, Log& log);

 private:
  os::FileDescriptor file_;  // the lock lives as long as it
};

}  // namespace ptrain::relay
