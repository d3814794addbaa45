#include "libcommon/net/warning_limiter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/net/mesh_fixture.h"

namespace ptrain::net {
namespace {

TEST(WarningLimiter, LetsOneThroughPerIntervalAndCountsTheRest) {
  RecordingLog log;
  WarningLimiter limiter(log);
  TimePoint now{};
  for (int i = 0; i < 10; ++i) limiter.warn("bad frame", now);
  limiter.warn("bad frame", now + kWarningInterval - Duration(1));
  EXPECT_THAT(log.lines(), testing::ElementsAre("bad frame"));
  limiter.warn("bad key", now + kWarningInterval);
  EXPECT_THAT(log.lines(), testing::ElementsAre("bad frame", "bad key (and 10 more like it)"));
}

TEST(WarningLimiter, SomeMayComeAtOnce) {
  RecordingLog log;
  WarningLimiter limiter(log, 3);
  TimePoint now{};
  for (int i = 0; i < 5; ++i) limiter.warn("a", now);
  EXPECT_EQ(log.lines().size(), 3u);
  limiter.warn("b", now + kWarningInterval);
  limiter.warn("c", now + kWarningInterval);
  EXPECT_EQ(log.lines().back(), "b (and 2 more like it)");
  now += 10 * kWarningInterval;
  for (int i = 0; i < 5; ++i) limiter.warn("d", now);
  EXPECT_EQ(log.lines().size(), 7u);
}

}  // namespace
}  // namespace ptrain::net
