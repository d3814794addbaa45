#include "libcommon/reduce/chunking.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include <gtest/gtest.h>

#include "libcommon/base/error.h"
#include "libcommon/reduce/lane_tree.h"

namespace ptrain::reduce {
namespace {

// The longest time of any line, for a vector of one byte.
double time_of(const std::vector<MemberLine>& lines, const std::vector<double>& shares) {
  double subtotals = 0;
  for (const MemberLine& line : lines) subtotals += line.subtotals;
  double longest = 0;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const double others = static_cast<double>(lines.size()) - 1;
    const double own = lines[i].subtotals;
    const double up = own * (1 - shares[i]) + others * shares[i];
    const double down = (subtotals - own) * shares[i] + (1 - shares[i]);
    longest = std::max({longest, up / lines[i].up_bytes_per_s, down / lines[i].down_bytes_per_s});
  }
  return longest;
}

std::vector<MemberLine> equal_both_ways(const std::vector<double>& rates) {
  std::vector<MemberLine> lines;
  for (const double rate : rates) lines.push_back({rate, rate});
  return lines;
}

TEST(BestSplit, GivesEqualLinesEqualSharesAndTheKnownBound) {
  for (int n = 3; n <= 9; ++n) {
    const BestSplit best = best_split(equal_both_ways(std::vector<double>(n, 5.0)));
    for (const double share : best.shares) EXPECT_NEAR(share, 1.0 / n, 1e-9);
    EXPECT_NEAR(best.s_per_byte, 2.0 * (n - 1) / n / 5.0, 1e-9);
  }
}

TEST(BestSplit, OfTwoMembersOnlyTheSlowerLineCounts) {
  const BestSplit best = best_split(equal_both_ways({100, 20}));
  EXPECT_NEAR(best.s_per_byte, 1.0 / 20, 1e-9);
  EXPECT_NEAR(best.shares[0] + best.shares[1], 1, 1e-12);
}

TEST(BestSplit, UsesAllOfUnequalLines) {
  // T = 2 (n - 1) / sum of r = 6 / 280; f = (T r - 1) / 2
  const BestSplit best = best_split(equal_both_ways({100, 60, 60, 60}));
  EXPECT_NEAR(best.s_per_byte, 6.0 / 280, 1e-9);
  EXPECT_NEAR(best.shares[0], (6.0 / 280 * 100 - 1) / 2, 1e-7);
  EXPECT_NEAR(best.shares[1], (6.0 / 280 * 60 - 1) / 2, 1e-7);
}

TEST(BestSplit, AVerySlowMemberOwnsNothing) {
  const BestSplit best = best_split(equal_both_ways({100, 100, 100, 20}));
  EXPECT_NEAR(best.s_per_byte, 1.0 / 20, 1e-9);
  EXPECT_NEAR(best.shares[3], 0, 1e-7);
}

TEST(BestSplit, OneMemberOwnsAllAndSendsNothing) {
  const BestSplit best = best_split(equal_both_ways({7}));
  EXPECT_EQ(best.shares, std::vector<double>{1.0});
  EXPECT_EQ(best.s_per_byte, 0);
}

TEST(BestSplit, NoOtherSplitIsFaster) {
  std::mt19937 random(2);
  const auto real = [&] { return 0.01 + static_cast<double>(random() % 1000) / 1000; };
  for (int i = 0; i < 200; ++i) {
    std::vector<MemberLine> lines(2 + random() % 7);
    for (MemberLine& line : lines) {
      line = {1e6 * real(), 1e6 * real(), 1 + static_cast<std::uint32_t>(random() % 3)};
    }
    const BestSplit best = best_split(lines);
    EXPECT_NEAR(std::accumulate(best.shares.begin(), best.shares.end(), 0.0), 1, 1e-9);
    for (const double share : best.shares) EXPECT_TRUE(share >= 0 && share <= 1) << share;
    EXPECT_NEAR(time_of(lines, best.shares) / best.s_per_byte, 1, 1e-6);
    for (int other = 0; other < 200; ++other) {
      // Some far away, and some beside the best.
      std::vector<double> shares = best.shares;
      const double step = other % 2 == 0 ? 1 : 1e-3;
      for (double& share : shares) share += step * real() * (random() % 2);
      const double all = std::accumulate(shares.begin(), shares.end(), 0.0);
      for (double& share : shares) share /= all;
      EXPECT_GE(time_of(lines, shares), best.s_per_byte * (1 - 1e-9));
    }
  }
}

TEST(BestSplit, RefusesWhatIsNoLine) {
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double rate : {0.0, -1.0, infinity, std::nan("")}) {
    EXPECT_THROW(best_split(std::vector<MemberLine>{{1, 1}, {rate, 1}}), Error);
    EXPECT_THROW(best_split(std::vector<MemberLine>{{1, 1}, {1, rate}}), Error);
  }
  EXPECT_THROW(best_split({}), Error);
  EXPECT_THROW(best_split(std::vector<MemberLine>{{1, 1, 0}}), Error);
  EXPECT_NO_THROW(best_split(std::vector<MemberLine>{{1, 1, kMaxLanes}}));
  EXPECT_THROW(best_split(std::vector<MemberLine>{{1, 1, kMaxLanes + 1}}), Error);
  EXPECT_NO_THROW(best_split(std::vector<MemberLine>(kMaxMembers, {1, 1})));
  EXPECT_THROW(best_split(std::vector<MemberLine>(kMaxMembers + 1, {1, 1})), Error);
}

TEST(Cut, CoversTheVectorWithEdgesOnBlocksAsNearAsTheyCanBe) {
  std::mt19937 random(3);
  for (int i = 0; i < 300; ++i) {
    const std::uint64_t elements = random() % (40 * kBlockElements);
    std::vector<double> shares(1 + random() % 9);
    for (double& share : shares) share = random() % 4 == 0 ? 0 : random() % 1000;
    shares[random() % shares.size()] += 1;
    const double all = std::accumulate(shares.begin(), shares.end(), 0.0);
    const std::vector<ElementRange> chunks = cut(elements, shares);
    ASSERT_EQ(chunks.size(), shares.size());
    std::uint64_t begin = 0;
    double taken = 0;
    const double blocks = std::ceil(static_cast<double>(elements) / kBlockElements);
    for (std::size_t c = 0; c < chunks.size(); ++c) {
      EXPECT_EQ(chunks[c].first, begin);
      begin = chunks[c].end();
      taken += shares[c];
      EXPECT_TRUE(begin % kBlockElements == 0 || begin == elements);
      const double edge = std::ceil(static_cast<double>(begin) / kBlockElements);
      EXPECT_LE(std::abs(edge - blocks * taken / all), 0.5 + 1e-9);
    }
    EXPECT_EQ(begin, elements);
  }
}

TEST(Cut, WhoseShareIsNothingOwnsNothing) {
  const std::vector<double> shares{0, 1, 0, 1, 0};
  const std::vector<ElementRange> chunks = cut(10 * kBlockElements + 5, shares);
  EXPECT_EQ(chunks[0].count + chunks[2].count + chunks[4].count, 0U);
}

TEST(Cut, RefusesWhatIsNoShareAndWhatIsTooLong) {
  const std::vector<double> one{1.0};
  EXPECT_EQ(cut(kMaxElements, one)[0].count, kMaxElements);
  EXPECT_THROW(cut(kMaxElements + 1, one), Error);
  EXPECT_THROW(cut(1, {}), Error);
  for (const double share : {-1.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
    EXPECT_THROW(cut(1, std::vector<double>{1, share}), Error);
  }
  EXPECT_THROW(cut(1, std::vector<double>{0, 0}), Error);
  EXPECT_NO_THROW(cut(1, std::vector<double>(kMaxMembers, 1.0)));
  EXPECT_THROW(cut(1, std::vector<double>(kMaxMembers + 1, 1.0)), Error);
}

}  // namespace
}  // namespace ptrain::reduce
