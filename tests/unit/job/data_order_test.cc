#include "libcommon/job/data_order.h"

#include <cmath>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/base/error.h"

namespace ptrain::job {
namespace {

using ::testing::ElementsAre;

std::vector<std::uint64_t> one_pass(std::uint64_t seed, std::uint64_t pass, std::uint64_t windows) {
  std::vector<std::uint64_t> order;
  for (std::uint64_t i = 0; i < windows; ++i) {
    order.push_back(sample_index(seed, pass * windows + i, windows));
  }
  return order;
}

TEST(DataOrder, VisitsEveryWindowOnceInEachPass) {
  for (const std::uint64_t windows : {1, 2, 3, 4, 5, 7, 8, 16, 17, 61, 64, 65, 1000, 1009, 4096}) {
    for (const std::uint64_t pass : {0, 1, 2}) {
      std::vector<bool> seen(windows, false);
      for (const std::uint64_t window : one_pass(42, pass, windows)) {
        ASSERT_LT(window, windows);
        EXPECT_FALSE(seen[window]) << "window " << window << " of " << windows << " comes twice";
        seen[window] = true;
      }
    }
  }
}

TEST(DataOrder, DiffersBetweenPassesAndBetweenSeeds) {
  EXPECT_NE(one_pass(1, 0, 100), one_pass(1, 1, 100));
  EXPECT_NE(one_pass(1, 0, 100), one_pass(2, 0, 100));
}

TEST(DataOrder, SpreadsNeighboursOverTheWholeData) {
  // Two independent uniform numbers differ by a third of the range on average, and neighbours
  // are next to each other 2 times in 10,000.
  const std::vector<std::uint64_t> order = one_pass(7, 0, 10000);
  double distance = 0;
  int adjacent = 0;
  for (std::size_t i = 1; i < order.size(); ++i) {
    const double gap = std::abs(static_cast<double>(order[i]) - static_cast<double>(order[i - 1]));
    distance += gap;
    adjacent += gap == 1 ? 1 : 0;
  }
  EXPECT_NEAR(distance / 9999 / 10000, 1.0 / 3, 0.01);
  EXPECT_LE(adjacent, 12);
}

TEST(DataOrder, OfAFewWindowsTakesEveryPermutationAboutEquallyOften) {
  constexpr int kPasses = 6000;
  std::vector<int> count(27, 0);
  for (std::uint64_t pass = 0; pass < kPasses; ++pass) {
    const auto order = one_pass(3, pass, 3);
    ++count[order[0] * 9 + order[1] * 3 + order[2]];
  }
  for (const std::uint64_t first : {0, 1, 2}) {
    for (const std::uint64_t second : {0, 1, 2}) {
      if (first != second) {
        EXPECT_NEAR(count[first * 9 + second * 3 + (3 - first - second)], kPasses / 6, 200);
      }
    }
  }
}

// Computed by another implementation of the same definition.
TEST(DataOrder, IsTheSameOnEveryMachine) {
  EXPECT_THAT(one_pass(1, 0, 10), ElementsAre(2, 9, 7, 5, 1, 8, 3, 6, 4, 0));
  EXPECT_EQ(sample_index(1, 123456789, 1000000007), 853192754u);
  EXPECT_EQ(sample_index(~0ull, ~0ull, 1ull << 63), 7006542847083371585u);
}

TEST(DataOrder, NeedsAWindow) { EXPECT_THROW(sample_index(1, 0, 0), Error); }

}  // namespace
}  // namespace ptrain::job
