#include "tools/relay/expiry.h"

#include <gtest/gtest.h>

#include "libcommon/base/error.h"

namespace ptrain::relay {
namespace {

using namespace std::chrono_literals;

constexpr net::WallTime kNow{1700000000s};

TEST(Expiry, LengthsAndTimesAreUnderstood) {
  EXPECT_EQ(parse_expiry("30d", kNow), kNow + std::chrono::hours(720));
  EXPECT_EQ(parse_expiry("12h", kNow), kNow + 12h);
  EXPECT_EQ(parse_expiry("90m", kNow), kNow + 90min);
  EXPECT_EQ(parse_expiry("2024-01-01T00:00:00Z", kNow), net::WallTime(1704067200s));
  EXPECT_EQ(parse_expiry("3650d", kNow), kNow + kLongestTicket);
}

TEST(Expiry, ADateHoldsThroughItsDayAndATimeNeedsNoSeconds) {
  EXPECT_EQ(net::to_string(parse_expiry("2024-01-31", kNow)), "2024-01-31T23:59:59Z");
  EXPECT_EQ(net::to_string(parse_expiry("2024-02-29", kNow)), "2024-02-29T23:59:59Z");
  EXPECT_EQ(net::to_string(parse_expiry("2024-01-31T12:00Z", kNow)), "2024-01-31T12:00:00Z");
}

TEST(Expiry, OthersAreRefused) {
  for (const char* text : {"", "d", "30", "30w", "-1d", "0d", "3651d", "2020-01-01T00:00:00Z",
                           "99999999999d", "1.5d", "2023-01-31", "2024-02-30", "2024-01-31T12:00",
                           "2024-01-31 12:00Z", "2024-1-31", "31.01.2024"}) {
    EXPECT_THROW(parse_expiry(text, kNow), Error) << text;
  }
}

}  // namespace
}  // namespace ptrain::relay
