// Time that nothing passes but the simulation itself, and the event loops that live in it.
//
// Each simulated process has a VirtualLoop; all of them, and what happens between them, take their
// turns on one thread. Time stands still while anybody has something to do, and then moves to the
// next moment at which somebody has. Nothing here depends on anything but the order of the calls,
// so what is run twice from one seed is the same twice.

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/os/loop.h"
#include "libcommon/os/timer_queue.h"

namespace ptrain::sim {

class VirtualLoop;

// More rounds at one moment than that are a loop that never comes to rest: Error(internal).
inline constexpr int kMaxRoundsAtOnce = 100'000;

// Not that of a clock which was never read.
inline constexpr TimePoint kBeginning{std::chrono::hours(1)};

class VirtualTime final : public Clock {
 public:
  using Callback = std::function<void()>;

  TimePoint now() const override { return now_; }
  Duration passed() const { return now_ - kBeginning; }
  // Once, then; of one moment in the order of the calls.
  void at(TimePoint when, Callback callback);
  void after(Duration delay, Callback callback) { at(now_ + delay, std::move(callback)); }

  // Runs until `done`, asked after each round, or until that much time has passed; false then.
  bool run(Duration limit, const std::function<bool()>& done);

 private:
  friend class VirtualLoop;
  bool turn();  // of everybody who has something to do now; whether somebody had
  TimePoint next() const;

  TimePoint now_ = kBeginning;
  std::uint64_t numbers_ = 0;
  std::map<std::pair<TimePoint, std::uint64_t>, Callback> events_;
  std::vector<VirtualLoop*> loops_;
};

// The loop of one simulated process. Its descriptors are numbers of its own.
class VirtualLoop final : public os::Loop {
 public:
  // `time` outlives the object.
  explicit VirtualLoop(VirtualTime& time);
  ~VirtualLoop() override;

  // A descriptor that can be read for as long as it is said to be.
  int open_descriptor() { return ++descriptors_; }
  void set_readable(int fd, bool readable);

  TimePoint now() const override { return time_.now(); }
  std::unique_ptr<Watch> watch(int fd, Callback readable) override;
  std::unique_ptr<Timer> timer(Callback due) override { return timers_.make(std::move(due)); }
  void defer(Callback callback) override { deferred_.push_back(std::move(callback)); }
  void post(Callback callback) override { posted_.push_back(std::move(callback)); }
  // It is run by its time.
  void run() override;
  void stop() override {}

 private:
  friend class VirtualTime;
  class Entry;
  bool turn();  // as one round of an EpollLoop, with everything that is ready

  VirtualTime& time_;
  os::TimerQueue timers_;
  std::vector<Callback> deferred_;
  std::vector<Callback> posted_;
  int descriptors_ = 0;
  std::map<int, bool> readable_;
  std::uint64_t numbers_ = 0;
  std::map<std::uint64_t, Entry*> entries_;
};

}  // namespace ptrain::sim
