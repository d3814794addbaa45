// The event loop of this machine: epoll, its clock, and an eventfd by which others wake it.

#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "libcommon/os/file_descriptor.h"
#include "libcommon/os/loop.h"
#include "libcommon/os/timer_queue.h"

namespace ptrain::os {

class EpollLoop final : public Loop {
 public:
  // Throws Error(io) when the system has no descriptors left. `clock` outlives the object.
  explicit EpollLoop(const Clock& clock);
  ~EpollLoop() override;

  TimePoint now() const override { return now_; }
  std::unique_ptr<Watch> watch(int fd, Callback readable) override;
  std::unique_ptr<Timer> timer(Callback due) override { return timers_.make(std::move(due)); }
  void defer(Callback callback) override { deferred_.push_back(std::move(callback)); }
  void post(Callback callback) override;
  void run() override;
  void stop() override;

 private:
  class Entry;
  void wait();
  void dispatch();
  void take_posted();

  const Clock& clock_;
  FileDescriptor epoll_;
  FileDescriptor wake_;
  TimePoint now_;
  TimerQueue timers_;
  std::vector<Callback> deferred_;
  std::unordered_map<std::uint64_t, Entry*> entries_;  // by their number
  std::unordered_map<int, std::uint64_t> owner_of_;    // which of them entered a descriptor last
  std::uint64_t numbers_ = 0;
  std::vector<std::uint64_t> ready_;

  std::mutex mutex_;
  std::vector<Callback> posted_;
  std::atomic<bool> stopped_ = false;
};

}  // namespace ptrain::os
