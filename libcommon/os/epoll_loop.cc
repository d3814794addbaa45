#include "libcommon/os/epoll_loop.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "libcommon/base/error.h"

namespace ptrain::os {
namespace {

constexpr int kReadyAtOnce = 64;  // more wait in the kernel until the next round
constexpr std::int64_t kLongestWaitMs = 3'600'000;
constexpr std::uint64_t kWakeNumber = 0;

}  // namespace

// libzmq closes and opens descriptors below us, so one number may mean another descriptor than it
// did: what is left in the kernel is that of who entered the number last.
class EpollLoop::Entry final : public Loop::Watch {
 public:
  Entry(EpollLoop& loop, int fd, Callback readable)
      : loop_(loop), fd_(fd), number_(++loop.numbers_), readable_(std::move(readable)) {
    renew();
    loop_.entries_[number_] = this;
  }
  ~Entry() override {
    loop_.entries_.erase(number_);
    const auto owner = loop_.owner_of_.find(fd_);
    if (owner == loop_.owner_of_.end() || owner->second != number_) return;
    ::epoll_ctl(loop_.epoll_.get(), EPOLL_CTL_DEL, fd_, nullptr);
    loop_.owner_of_.erase(owner);
  }
  void renew() override {
    epoll_event event{.events = EPOLLIN, .data = {.u64 = number_}};
    const bool entered = ::epoll_ctl(loop_.epoll_.get(), EPOLL_CTL_MOD, fd_, &event) == 0 ||
                         ::epoll_ctl(loop_.epoll_.get(), EPOLL_CTL_ADD, fd_, &event) == 0;
    if (!entered) throw io_error("watch a descriptor", errno);
    loop_.owner_of_[fd_] = number_;
  }
  void call() {
    const Callback readable = readable_;  // it may end this object
    readable();
  }

 private:
  EpollLoop& loop_;
  int fd_;
  std::uint64_t number_;
  Callback readable_;
};

EpollLoop::EpollLoop(const Clock& clock)
    : clock_(clock),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      now_(clock.now()) {
  if (!epoll_.valid() || !wake_.valid()) throw io_error("make an event loop", errno);
  epoll_event event{.events = EPOLLIN, .data = {.u64 = kWakeNumber}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) != 0) {
    throw io_error("make an event loop", errno);
  }
}

EpollLoop::~EpollLoop() = default;

std::unique_ptr<Loop::Watch> EpollLoop::watch(int fd, Callback readable) {
  return std::make_unique<Entry>(*this, fd, std::move(readable));
}

void EpollLoop::post(Callback callback) {
  bool first = false;
  {
    const std::lock_guard lock(mutex_);
    first = posted_.empty();
    posted_.push_back(std::move(callback));
  }
  if (!first) return;
  const std::uint64_t one = 1;
  // It fails only when the counter is full, and then the thread wakes anyway.
  [[maybe_unused]] const auto written = ::write(wake_.get(), &one, sizeof one);
}

void EpollLoop::stop() {
  stopped_ = true;
  post([] {});
}

void EpollLoop::run() {
  while (!stopped_) {
    wait();
    now_ = clock_.now();
    dispatch();
  }
}

void EpollLoop::wait() {
  int timeout_ms = -1;
  const TimePoint next = timers_.next();
  if (!deferred_.empty()) {
    timeout_ms = 0;
  } else if (next != TimePoint::max()) {
    const auto rest = std::chrono::ceil<std::chrono::milliseconds>(next - clock_.now());
    timeout_ms = static_cast<int>(std::clamp<std::int64_t>(rest.count(), 0, kLongestWaitMs));
  }
  std::array<epoll_event, kReadyAtOnce> events;
  const int count = ::epoll_wait(epoll_.get(), events.data(), kReadyAtOnce, timeout_ms);
  ready_.clear();
  for (int i = 0; i < count; ++i) {  // none after a signal
    const std::uint64_t number = events[static_cast<std::size_t>(i)].data.u64;  // it is not aligned
    ready_.push_back(number);
  }
}

void EpollLoop::dispatch() {
  for (const Callback& callback : std::exchange(deferred_, {})) callback();
  if (std::ranges::find(ready_, kWakeNumber) != ready_.end()) take_posted();
  for (const std::uint64_t number : ready_) {
    const auto entry = entries_.find(number);  // another callback may have ended it
    if (entry != entries_.end()) entry->second->call();
  }
  timers_.run(now_);
}

void EpollLoop::take_posted() {
  std::uint64_t ignored = 0;
  [[maybe_unused]] const auto got = ::read(wake_.get(), &ignored, sizeof ignored);
  std::vector<Callback> posted;
  {
    const std::lock_guard lock(mutex_);
    posted.swap(posted_);
  }
  for (const Callback& callback : posted) callback();
}

}  // namespace ptrain::os
