// What the signals that tell a program to stop mean, by their order and their times.
//
// The first one begins the stop. Supervisors, terminals and timeout(1) send theirs to every
// process of a group, some of which pass them on, so a second one within a moment says nothing
// new; and who sends SIGTERM or SIGHUP again has no right to an unsaved run. Only a person who
// presses Ctrl-C once more, a second or more after the first time, wants it to end now.
//
// Pure: the times are the caller's. Every method may be called from a signal handler, and from
// several threads at once: it touches lock-free atomics alone.

#pragma once

#include <atomic>
#include <chrono>
#include <csignal>

#include "libcommon/base/clock.h"

namespace ptrain::os {

inline constexpr Duration kInsistAfter = std::chrono::seconds(1);

enum class StopAnswer {
  begin,      // this is the first: say so, and stop
  nothing,    // the stop is under way
  leave_now,  // somebody insists
};

class StopRules {
 public:
  // `now` is of any clock that never goes back, and not its very beginning.
  StopAnswer hear(int signal_number, Duration now) {
    int none = 0;
    const bool first = first_.compare_exchange_strong(none, signal_number);
    const bool insists = signal_number == SIGINT && interrupted_again(now);
    if (first) return StopAnswer::begin;
    return insists ? StopAnswer::leave_now : StopAnswer::nothing;
  }

  // The first signal that came, or 0.
  int first() const { return first_.load(); }

  void reset() {
    first_.store(0);
    interrupted_at_.store(0);
  }

 private:
  bool interrupted_again(Duration now) {
    Duration::rep before = 0;
    if (interrupted_at_.compare_exchange_strong(before, now.count())) return false;
    return now - Duration(before) >= kInsistAfter;
  }

  std::atomic<int> first_{0};
  std::atomic<Duration::rep> interrupted_at_{0};  // the first SIGINT
  static_assert(std::atomic<int>::is_always_lock_free);
  static_assert(std::atomic<Duration::rep>::is_always_lock_free);
};

}  // namespace ptrain::os
