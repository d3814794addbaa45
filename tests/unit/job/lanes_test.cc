#include "libcommon/job/lanes.h"

#include <algorithm>
#include <cstdint>

#include <gtest/gtest.h>

#include "libcommon/base/error.h"

namespace ptrain::job {
namespace {

TEST(Lanes, SharesAreContiguousAsEvenAsCanBeAndHaveEveryMicrobatchOnce) {
  for (std::uint32_t microbatches = 1; microbatches <= 20; ++microbatches) {
    for (std::uint32_t lanes = 1; lanes <= microbatches; ++lanes) {
      std::uint32_t next = 0;
      std::uint32_t least = microbatches;
      std::uint32_t most = 0;
      for (std::uint32_t l = 0; l < lanes; ++l) {
        const MicrobatchRange share = share_of_lane(microbatches, lanes, LaneIndex(l));
        EXPECT_EQ(share.first, MicrobatchIndex(next));
        for (std::uint32_t i = 0; i < share.count; ++i) {
          EXPECT_EQ(lane_of(microbatches, lanes, MicrobatchIndex(next + i)), LaneIndex(l));
        }
        next += share.count;
        least = std::min(least, share.count);
        most = std::max(most, share.count);
      }
      EXPECT_EQ(next, microbatches);
      EXPECT_LE(most - least, 1u);
      EXPECT_GE(least, 1u);
    }
  }
}

TEST(Lanes, ThatAreNotThereAreADefect) {
  EXPECT_THROW(share_of_lane(4, 5, LaneIndex(0)), Error);
  EXPECT_THROW(share_of_lane(4, 0, LaneIndex(0)), Error);
  EXPECT_THROW(share_of_lane(4, 2, LaneIndex(2)), Error);
  EXPECT_THROW(lane_of(4, 2, MicrobatchIndex(4)), Error);
}

}  // namespace
}  // namespace ptrain::job
