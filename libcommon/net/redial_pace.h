// How long an attempt to connect may take, and when the next one begins. Pure.
//
// A kernel repeats a SYN that nobody answers after 1, 3 and 7 s, so one that was lost in an outage
// would keep us waiting long after it. Attempts are short instead, a fresh one each second, until
// the other side answers; but each fourth is patient, for those whose answers take longer.

#pragma once

#include <algorithm>

#include "libcommon/base/clock.h"

namespace ptrain::net {

inline constexpr Duration kFirstRetry = std::chrono::milliseconds(20);
inline constexpr Duration kLastRetry = std::chrono::seconds(1);
// For the first answer of the other side.
inline constexpr Duration kShortAttempt = std::chrono::seconds(1);
// For name, connection and handshake together; once it has answered, for the handshake.
inline constexpr Duration kAttemptTimeout = std::chrono::seconds(5);
inline constexpr unsigned kPatientEvery = 4;

// Between the beginnings of two attempts that fail at once: the first time, and the longest.
struct RetryPauses {
  Duration first = kFirstRetry;
  Duration last = kLastRetry;
};
// Of an address that somebody else has named, who may have no business with us: three attempts in
// ten seconds, twelve in an hour.
inline constexpr RetryPauses kStrangersPauses{.first = std::chrono::seconds(2),
                                              .last = std::chrono::minutes(20)};

class RedialPace {
 public:
  // `pauses` hold until it has worked once.
  explicit RedialPace(RetryPauses pauses = {}) : last_retry_(pauses.last), backoff_(pauses.first) {}

  void begin(TimePoint now);
  // The other side has answered.
  void answered(TimePoint now) { ends_at_ = now + kAttemptTimeout; }
  // It is of use: what fails next begins with short waits again, and is worth frequent attempts.
  void worked();
  // The attempt, or the connection that came of it, is over.
  void ended(TimePoint now);
  // Something has changed that makes the next attempt another one: it need not wait for the last.
  void renewed() {
    backoff_ = kFirstRetry;
    retry_at_ = std::min(retry_at_, begun_ + kFirstRetry);
  }
  void wait_longest() { backoff_ = last_retry_; }

  TimePoint ends_at() const { return ends_at_; }    // of the attempt
  TimePoint retry_at() const { return retry_at_; }  // begin() then
  bool patient() const { return attempts_ % kPatientEvery == 0; }

 private:
  Duration last_retry_;
  Duration backoff_;
  unsigned attempts_ = 0;  // since it last worked
  TimePoint begun_{};
  TimePoint ends_at_{};
  TimePoint retry_at_{};
};

}  // namespace ptrain::net
