#include "tools/stage/engine/run_report.h"

#include <gtest/gtest.h>

namespace ptrain::stage {
namespace {

TEST(ProgressText, SaysHowFarHowWellHowFastAndHowLong) {
  const metrics::StepRecord record{.step = 120, .loss = 1.6344, .tokens_per_s = 14210};
  EXPECT_EQ(progress_text(record, 480, Step(0), std::chrono::seconds(60), std::nullopt),
            "step 120/480  loss 1.634  14.2k tokens/s  25 %  3 min 0 s left");
  EXPECT_EQ(progress_text(record, 480, Step(0), std::chrono::seconds(60), 1.7),
            "step 120/480  loss 1.634  val 1.700  14.2k tokens/s  25 %  3 min 0 s left");
}

TEST(ProgressText, TimeLeftCountsOnlyWhatThisProcessDid) {
  const metrics::StepRecord record{.step = 110, .loss = 2, .tokens_per_s = 950};
  EXPECT_EQ(progress_text(record, 120, Step(100), std::chrono::seconds(20), std::nullopt),
            "step 110/120  loss 2.000  950 tokens/s  91 %  20 s left");
}

}  // namespace
}  // namespace ptrain::stage
