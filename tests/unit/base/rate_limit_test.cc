#include "libcommon/base/rate_limit.h"

#include <gtest/gtest.h>

#include "libcommon/base/error.h"

namespace ptrain {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kStart{1h};

TEST(RateLimit, WithoutARateEverythingPassesAtOnce) {
  RateLimit limit(std::nullopt, kStart);
  limit.spend(ByteCount(1ull << 40), kStart);
  EXPECT_TRUE(limit.ready(kStart));
}

TEST(RateLimit, WhatWasSpentIsWaitedForBeforeTheNext) {
  RateLimit limit(ByteCount(1'000'000), kStart);
  EXPECT_TRUE(limit.ready(kStart));
  limit.spend(ByteCount(4'000'000), kStart);  // more than a second's worth passes at once
  EXPECT_FALSE(limit.ready(kStart + 3999ms));
  EXPECT_TRUE(limit.ready(kStart + 4s));
  EXPECT_EQ(limit.ready_at(), kStart + 4s);
}

TEST(RateLimit, TheAverageHoldsOverManyAndIdleTimeIsNotSaved) {
  RateLimit limit(ByteCount(1'000'000), kStart);
  TimePoint now = kStart + 1h;  // an hour of nothing
  std::uint64_t spent = 0;
  while (now < kStart + 1h + 10s) {
    if (limit.ready(now)) {
      limit.spend(ByteCount(300'000), now);
      spent += 300'000;
    }
    now += 1ms;
  }
  EXPECT_GE(spent, 9'900'000u);
  EXPECT_LE(spent, 10'300'000u);
}

TEST(RateLimit, ARateThatIsTooSmallIsRefused) {
  EXPECT_THROW(RateLimit(ByteCount(kMinRateBytesPerS - 1), kStart), Error);
  EXPECT_NO_THROW(RateLimit(ByteCount(kMinRateBytesPerS), kStart));
}

}  // namespace
}  // namespace ptrain
