#include "libcommon/os/timer_queue.h"

namespace ptrain::os {

class TimerQueue::Entry final : public Loop::Timer {
 public:
  Entry(TimerQueue& queue, Loop::Callback due) : queue_(queue), due_(std::move(due)) {}
  ~Entry() override { set(TimePoint::max()); }

  void set(TimePoint when) override {
    if (when == at_.when) return;
    if (at_.when != TimePoint::max()) queue_.timers_.erase(at_);
    at_ = {.when = when, .number = ++queue_.numbers_, .entry = this};
    if (when != TimePoint::max()) queue_.timers_.insert(at_);
  }
  // The callback may end this object.
  void call() {
    at_.when = TimePoint::max();
    const Loop::Callback due = due_;
    due();
  }

 private:
  TimerQueue& queue_;
  Loop::Callback due_;
  Due at_{.when = TimePoint::max(), .number = 0, .entry = this};
};

std::unique_ptr<Loop::Timer> TimerQueue::make(Loop::Callback due) {
  return std::make_unique<Entry>(*this, std::move(due));
}

void TimerQueue::run(TimePoint now) {
  const std::uint64_t last = numbers_;
  for (auto it = timers_.begin(); it != timers_.end() && it->when <= now;) {
    if (it->number > last) {
      ++it;
      continue;
    }
    Entry* entry = it->entry;
    timers_.erase(it);
    entry->call();
    it = timers_.begin();  // whatever it has changed
  }
}

}  // namespace ptrain::os
