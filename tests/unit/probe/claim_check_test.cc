// What a receiver may claim, and what it cannot have received.

#include "libcommon/probe/claim_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ptrain::probe {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

wire::ProbeArrived claim(std::uint64_t bytes, std::chrono::microseconds since) {
  return {.bytes = ByteCount(bytes), .since = since};
}

// A megabyte each second, from the first moment on.
struct Claims : testing::Test {
  ClaimCheck claims;
  TimePoint begun{};

  Claims() {
    for (int i = 0; i <= 10; ++i) claims.sent(begun + i * 1s, (i + 1) * 1'000'000u);
  }
};

TEST_F(Claims, AnHonestReceiverIsNeverNamed) {
  // 200 ms there, the same back, a queue that grows to 300 ms, a first claim that is late.
  EXPECT_FALSE(claims.flaw_of(claim(500'000, 0us), begun + 700ms));
  EXPECT_FALSE(claims.flaw_of(claim(3'000'000, 2300ms), begun + 2700ms));
  EXPECT_FALSE(claims.flaw_of(claim(11'000'000, 10300ms), begun + 10700ms));
}

TEST_F(Claims, MoreThanWasSentIsALie) {
  EXPECT_THAT(*claims.flaw_of(claim(11'000'001, 1s), begun + 11s),
              HasSubstr("11000001 bytes, and 11000000 were sent"));
}

TEST_F(Claims, SoonerThanItWasSentIsALie) {
  EXPECT_FALSE(claims.flaw_of(claim(500'000, 0us), begun + 300ms));
  EXPECT_THAT(*claims.flaw_of(claim(11'000'000, 1s), begun + 11s), HasSubstr("within 1.000 s"));
}

TEST_F(Claims, BeforeTheFirstWasSentIsALie) {
  EXPECT_THAT(*claims.flaw_of(claim(500'000, 2s), begun + 1s), HasSubstr("came 2.000 s ago"));
}

TEST_F(Claims, BytesAndTimeNeverGoBack) {
  EXPECT_FALSE(claims.flaw_of(claim(2'000'000, 1500ms), begun + 2s));
  EXPECT_TRUE(claims.flaw_of(claim(1'999'999, 1600ms), begun + 2s));
  EXPECT_TRUE(claims.flaw_of(claim(2'000'001, 1400ms), begun + 2s));
}

TEST(ClaimCheck, BeforeAnythingWasSentNothingCanHaveCome) {
  ClaimCheck claims;
  EXPECT_FALSE(claims.flaw_of(claim(0, 0us), {}));
  EXPECT_TRUE(claims.flaw_of(claim(1, 0us), {}));
}

}  // namespace
}  // namespace ptrain::probe
