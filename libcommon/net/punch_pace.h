// When the next attempt to reach one peer directly may begin, and when to ask for one. Pure.
//
// Addresses are a peer's word, and introductions a relay's, so attempts are few whatever they say:
// kPunchBurst at once, then one each kPunchRefill, unless one works. Asking for the next one waits
// twice as long after each that brought nothing.

#pragma once

#include <algorithm>

#include "libcommon/base/clock.h"

namespace ptrain::net {

inline constexpr int kPunchBurst = 6;
inline constexpr Duration kPunchRefill = std::chrono::minutes(5);
inline constexpr Duration kFirstPunchPause = std::chrono::seconds(2);
inline constexpr Duration kLastPunchPause = std::chrono::minutes(5);

class PunchPace {
 public:
  explicit PunchPace(TimePoint now) : refilled_(now) {}

  // Whether an attempt may begin now; it does then.
  bool begin(TimePoint now) {
    refill(now);
    if (left_ == 0) return false;
    --left_;
    return true;
  }
  // It is of use: what fails next begins with short waits again.
  void worked() {
    left_ = kPunchBurst;
    pause_ = kFirstPunchPause;
    ask_at_ = TimePoint::max();
  }
  // There is a path, and it has yet to show what it is worth: no other is asked for.
  void reached() { ask_at_ = TimePoint::max(); }
  // What worked is gone: something has changed.
  void lost(TimePoint now) { ask_at_ = std::min(ask_at_, now); }
  // An attempt has brought nothing.
  void failed(TimePoint now) {
    ask_at_ = now + pause_;
    pause_ = std::min<Duration>(2 * pause_, kLastPunchPause);
  }
  // Whether to ask for the next one: once.
  bool take_wish(TimePoint now) {
    if (now < ask_at_) return false;
    ask_at_ = TimePoint::max();
    return true;
  }
  TimePoint next_tick() const { return ask_at_; }

 private:
  void refill(TimePoint now) {
    while (left_ < kPunchBurst && now - refilled_ >= kPunchRefill) {
      ++left_;
      refilled_ += kPunchRefill;
    }
    if (left_ == kPunchBurst) refilled_ = now;
  }

  int left_ = kPunchBurst;
  TimePoint refilled_;
  Duration pause_ = kFirstPunchPause;
  TimePoint ask_at_ = TimePoint::max();
};

}  // namespace ptrain::net
