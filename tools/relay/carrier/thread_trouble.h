// Why a thread has ended before its time, for its owner to find. Any thread.

#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace ptrain::relay {

class ThreadTrouble {
 public:
  void say(std::string_view why) {
    const std::scoped_lock lock(mutex_);
    why_ = why;
  }
  std::optional<std::string> read() const {
    const std::scoped_lock lock(mutex_);
    return why_;
  }

 private:
  mutable std::mutex mutex_;
  std::optional<std::string> why_;
};

}  // namespace ptrain::relay
