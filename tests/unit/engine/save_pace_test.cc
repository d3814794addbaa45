#include "tools/stage/engine/save_pace.h"

#include <gtest/gtest.h>

namespace ptrain::stage {
namespace {

using std::chrono::seconds;

TEST(SavePace, IsDueWhenItsTimeHasPassedSinceTheLastSave) {
  SavePace pace(60, TimePoint(seconds(100)));
  EXPECT_FALSE(pace.due(TimePoint(seconds(159)), false));
  EXPECT_TRUE(pace.due(TimePoint(seconds(160)), false));
  pace.saved(TimePoint(seconds(170)));
  EXPECT_FALSE(pace.due(TimePoint(seconds(229)), false));
  EXPECT_TRUE(pace.due(TimePoint(seconds(230)), false));
}

TEST(SavePace, WaitsForASaveThatIsUnderWay) {
  const SavePace pace(60, TimePoint(seconds(0)));
  EXPECT_FALSE(pace.due(TimePoint(seconds(1000)), true));
  EXPECT_TRUE(pace.due(TimePoint(seconds(1001)), false));
}

TEST(SavePace, IsNeverDueWithoutATime) {
  EXPECT_FALSE(SavePace(0, TimePoint(seconds(0))).due(TimePoint(seconds(100000)), false));
}

}  // namespace
}  // namespace ptrain::stage
