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

}  // namespace
}  // namespace ptrain::net
