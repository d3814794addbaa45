// A gateway's seconds beside our clock: which of them mean that it began anew.

#include "tools/punch/epoch.h"

#include <gtest/gtest.h>

namespace ptrain::punch {
namespace {

using std::chrono::seconds;

// Whether `server` seconds at the gateway, `client` seconds later, mean that it began anew.
bool restarted(std::uint32_t before, std::uint32_t after, seconds client) {
  Epoch epoch;
  const TimePoint start{};
  EXPECT_FALSE(epoch.restarted(before, start));
  return epoch.restarted(after, start + client);
}

TEST(Epoch, GoesOnAsOurClockDoes) {
  EXPECT_FALSE(restarted(1000, 1300, seconds(300)));
  EXPECT_FALSE(restarted(1000, 999, seconds(0)));  // answers that overtook each other
  EXPECT_FALSE(restarted(1000, 1280, seconds(300)));
  EXPECT_FALSE(restarted(1000, 1000, seconds(2)));
}

TEST(Epoch, ThatIsLessThanBeforeIsANewOne) {
  EXPECT_TRUE(restarted(1000, 998, seconds(0)));
  EXPECT_TRUE(restarted(1000, 0, seconds(300)));
}

TEST(Epoch, ThatHasNotGoneOnIsANewOne) {
  EXPECT_TRUE(restarted(10, 20, seconds(300)));
  EXPECT_TRUE(restarted(1000, 1270, seconds(300)));
}

}  // namespace
}  // namespace ptrain::punch
