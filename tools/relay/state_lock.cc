#include "tools/relay/state_lock.h"

#include <algorithm>
#include <cerrno>
#include <string>

#include <fmt/format.h>
#include <unistd.h>

#include "libcommon/base/error.h"
#include "libcommon/os/file_lock.h"

namespace ptrain::relay {
namespace {

constexpr const char* kName = "lock";
constexpr const char* kHint = "--state must be a folder that can be written, with room";

// Whoever has got its lock and has not yet written who it is, is nobody that we can name.
std::string holder_of(const os::FileDescriptor& file) {
  std::string text = os::holder_text(file);
  text.resize(std::min(text.find('\n'), text.size()));
  return text.empty() ? "another process" : text;
}

}  // namespace

StateLock::StateLock(const std::filesystem::path& state, Log& log) {
  const std::filesystem::path path = state / kName;
  file_ = os::open_lock_file(path, kHint);
  switch (os::try_lock(file_)) {
    case os::LockOutcome::taken:
      break;
    case os::LockOutcome::held_elsewhere:
      throw Error(ErrorKind::try_again,
                  fmt::format("{} is in use by another relay: {} holds {}", state.string(),
                              holder_of(file_), path.string()),
                  "end that one, or give this one a --state folder of its own");
    case os::LockOutcome::unsupported:
      log.warning(fmt::format("{}: {}; make sure that no other relay uses this folder",
                              path.string(), io_error("lock", errno).what()));
  }
  os::write_holder_text(file_, path, fmt::format("process {} on {}\n", ::getpid(), os::host_name()),
                        kHint);
}

}  // namespace ptrain::relay
