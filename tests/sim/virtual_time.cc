#include "tests/sim/virtual_time.h"

#include <algorithm>

#include "libcommon/base/error.h"

namespace ptrain::sim {

// ---- Time.

void VirtualTime::at(TimePoint when, Callback callback) {
  events_.emplace(std::pair(std::max(when, now_), ++numbers_), std::move(callback));
}

bool VirtualTime::turn() {
  bool busy = false;
  while (!events_.empty() && events_.begin()->first.first <= now_) {
    const auto event = events_.extract(events_.begin());
    event.mapped()();
    busy = true;
  }
  // A callback may begin or end a process.
  for (std::size_t i = 0; i < loops_.size(); ++i) busy = loops_[i]->turn() || busy;
  return busy;
}

TimePoint VirtualTime::next() const {
  TimePoint next = events_.empty() ? TimePoint::max() : events_.begin()->first.first;
  for (const VirtualLoop* loop : loops_) next = std::min(next, loop->timers_.next());
  return next;
}

bool VirtualTime::run(Duration limit, const std::function<bool()>& done) {
  const TimePoint end = now_ + limit;
  while (true) {
    for (int rounds = 0; turn(); ++rounds) {
      if (done()) return true;
      if (rounds == kMaxRoundsAtOnce) {
        throw Error(ErrorKind::internal, "a simulation does not come to rest");
      }
    }
    if (done()) return true;
    if (next() > end) {
      now_ = end;
      return false;
    }
    now_ = std::max(now_, next());
  }
}

// ---- One process.

class VirtualLoop::Entry final : public os::Loop::Watch {
 public:
  Entry(VirtualLoop& loop, int fd, Callback readable)
      : loop_(loop), fd_(fd), number_(++loop.numbers_), readable_(std::move(readable)) {
    loop_.entries_[number_] = this;
  }
  ~Entry() override { loop_.entries_.erase(number_); }
  void renew() override {}
  bool ready() const {
    const auto found = loop_.readable_.find(fd_);
    return found != loop_.readable_.end() && found->second;
  }
  void call() {
    const Callback readable = readable_;  // it may end this object
    readable();
  }

 private:
  VirtualLoop& loop_;
  int fd_;
  std::uint64_t number_;
  Callback readable_;
};

VirtualLoop::VirtualLoop(VirtualTime& time) : time_(time) { time_.loops_.push_back(this); }

VirtualLoop::~VirtualLoop() { std::erase(time_.loops_, this); }

void VirtualLoop::set_readable(int fd, bool readable) { readable_[fd] = readable; }

std::unique_ptr<os::Loop::Watch> VirtualLoop::watch(int fd, Callback readable) {
  return std::make_unique<Entry>(*this, fd, std::move(readable));
}

void VirtualLoop::run() { throw Error(ErrorKind::internal, "a virtual loop is run by its time"); }

bool VirtualLoop::turn() {
  std::vector<std::uint64_t> ready;
  for (const auto& [number, entry] : entries_) {
    if (entry->ready()) ready.push_back(number);
  }
  const bool due = timers_.next() <= now();
  if (deferred_.empty() && posted_.empty() && ready.empty() && !due) return false;
  for (const Callback& callback : std::exchange(deferred_, {})) callback();
  for (const Callback& callback : std::exchange(posted_, {})) callback();
  for (const std::uint64_t number : ready) {
    const auto entry = entries_.find(number);  // another callback may have ended it
    if (entry != entries_.end()) entry->second->call();
  }
  timers_.run(now());
  return true;
}

}  // namespace ptrain::sim
