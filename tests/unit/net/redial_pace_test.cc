#include "libcommon/net/redial_pace.h"

#include <gtest/gtest.h>

namespace ptrain::net {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kBegin{};

TEST(RedialPace, AttemptsThatNobodyAnswersFollowEachOtherEverySecond) {
  RedialPace pace;
  TimePoint now = kBegin;
  for (int i = 0; i < 3; ++i) {
    pace.begin(now);
    EXPECT_EQ(pace.ends_at(), now + kShortAttempt);
    now = pace.ends_at();
    pace.ended(now);
    EXPECT_EQ(pace.retry_at(), now) << "no pause after it";
  }
}

TEST(RedialPace, EachFourthAttemptWaitsForASlowAnswer) {
  RedialPace pace;
  int patient = 0;
  for (int i = 1; i <= 12; ++i) {
    pace.begin(kBegin);
    if (pace.ends_at() == kBegin + kAttemptTimeout) {
      ++patient;
      EXPECT_EQ(i % 4, 0);
    }
    pace.ended(kBegin);
  }
  EXPECT_EQ(patient, 3);
}

TEST(RedialPace, WhoAnswersHasTimeForTheHandshake) {
  RedialPace pace;
  pace.begin(kBegin);
  pace.answered(kBegin + 900ms);
  EXPECT_EQ(pace.ends_at(), kBegin + 900ms + kAttemptTimeout);
}

TEST(RedialPace, AttemptsThatFailAtOnceBackOffToASecond) {
  RedialPace pace;
  TimePoint now = kBegin;
  Duration pause{};
  for (int i = 0; i < 10; ++i) {
    pace.begin(now);
    pace.ended(now);
    EXPECT_GE(pace.retry_at() - now, pause);
    pause = pace.retry_at() - now;
    if (i == 0) {
      EXPECT_EQ(pause, kFirstRetry);
    }
    now = pace.retry_at();
  }
  EXPECT_EQ(pause, kLastRetry);
}

TEST(RedialPace, AConnectionThatWorkedIsMadeAnewAtOnce) {
  RedialPace pace;
  for (int i = 0; i < 10; ++i) {
    pace.begin(kBegin);
    pace.ended(kBegin);
  }
  pace.begin(kBegin);
  pace.worked();
  pace.ended(kBegin + 1min);
  EXPECT_EQ(pace.retry_at(), kBegin + 1min);
}

TEST(RedialPace, WhatIsNewIsTriedAtOnceAndBacksOffAnew) {
  RedialPace pace;
  TimePoint now = kBegin;
  for (int i = 0; i < 10; ++i) {
    pace.begin(now);
    pace.ended(now);
    now = pace.retry_at();
  }
  pace.begin(now);
  pace.ended(now);
  EXPECT_EQ(pace.retry_at(), now + kLastRetry);
  pace.renewed();
  EXPECT_EQ(pace.retry_at(), now + kFirstRetry);
  now = pace.retry_at();
  pace.begin(now);
  pace.ended(now);
  EXPECT_EQ(pace.retry_at(), now + kFirstRetry);
}

// Attempts that fail at once, in so much time.
int attempts_in(RedialPace& pace, Duration time) {
  int attempts = 0;
  for (TimePoint now = kBegin; now < kBegin + time; now = pace.retry_at()) {
    pace.begin(now);
    pace.ended(now);
    ++attempts;
  }
  return attempts;
}

TEST(RedialPace, AnAddressThatAnotherHasNamedIsDialledRarelyUntilItHasWorked) {
  RedialPace pace(kStrangersPauses);
  EXPECT_EQ(attempts_in(pace, 10s), 3);
  RedialPace longer(kStrangersPauses);
  EXPECT_LE(attempts_in(longer, 1h), 12);
  pace.begin(kBegin);
  pace.worked();
  pace.ended(kBegin);
  for (int i = 0; i < 12; ++i) {
    pace.begin(kBegin);
    pace.ended(kBegin);
  }
  EXPECT_EQ(pace.retry_at(), kBegin + kLastRetry);
}

}  // namespace
}  // namespace ptrain::net
