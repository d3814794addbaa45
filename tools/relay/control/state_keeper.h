// Writes the registry to its file: at the beginning, when it has changed, at most once a second, at
// least once in state_age_limit() while anyone is registered, and at the end, with the word that
// nothing came after it (SavedState::closed). A file without that word may lack what was last.
//
// A thread of its own does the writing, so that a slow disk holds up no peer. The other
// functions belong to the relay's thread. A disk that refuses is a warning; the relay goes on.

#pragma once

#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/base/log.h"
#include "libcommon/os/storage.h"
#include "tools/relay/control/registry.h"

namespace ptrain::relay {

inline constexpr Duration kSaveInterval = std::chrono::seconds(1);

class StateKeeper {
 public:
  // All references outlive the object. Returns when the file is written: it says no more that its
  // process has ended.
  StateKeeper(std::filesystem::path file, const Registry& registry, os::Storage& storage, Log& log,
              TimePoint now);
  // Saves what there is, and returns when it is durable.
  ~StateKeeper();
  StateKeeper(const StateKeeper&) = delete;
  StateKeeper& operator=(const StateKeeper&) = delete;

  void tick(TimePoint now);

 private:
  std::vector<std::byte> picture(TimePoint now, bool closed) const;
  void post(std::vector<std::byte> bytes);
  void write(const std::vector<std::byte>& bytes);
  void write_what_is_posted();

  std::filesystem::path file_;
  const Registry& registry_;
  os::Storage& storage_;
  Log& log_;
  std::uint64_t posted_changes_ = 0;
  std::optional<TimePoint> posted_at_;
  TimePoint latest_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::optional<std::vector<std::byte>> waiting_;
  bool ending_ = false;
  std::thread writer_;  // last: it uses the members above
};

}  // namespace ptrain::relay
