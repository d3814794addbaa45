#include "libcommon/job/partition.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/base/error.h"
#include "libcommon/job/keyed_random.h"

namespace ptrain::job {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ModelConfig eight_layers(std::int64_t vocab_size) {
  return {.vocab_size = vocab_size,
          .hidden_size = 64,
          .intermediate_size = 128,
          .num_hidden_layers = 8,
          .num_attention_heads = 4,
          .num_key_value_heads = 4,
          .head_dim = 16,
          .max_position_embeddings = 64};
}

std::vector<std::int64_t> lengths(const std::vector<StageSpan>& spans) {
  std::vector<std::int64_t> result;
  for (const StageSpan& span : spans) result.push_back(span.layer_end - span.layer_begin);
  return result;
}

std::uint64_t most_expensive(const std::vector<std::uint64_t>& costs,
                             const std::vector<std::int64_t>& cut) {
  std::uint64_t most = 0;
  auto at = costs.begin();
  for (const std::int64_t length : cut) {
    most = std::max(most, std::accumulate(at, at + length, std::uint64_t{0}));
    at += length;
  }
  return most;
}

// The least possible cost of the most expensive piece, by trying every first piece.
std::uint64_t best_by_trying(std::vector<std::uint64_t> costs, std::size_t stages) {
  if (stages == 1) return std::accumulate(costs.begin(), costs.end(), std::uint64_t{0});
  std::uint64_t best = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t first = 0;
  for (std::size_t length = 1; length + stages - 1 <= costs.size(); ++length) {
    first += costs[length - 1];
    const std::vector<std::uint64_t> rest(costs.begin() + static_cast<std::ptrdiff_t>(length),
                                          costs.end());
    best = std::min(best, std::max(first, best_by_trying(rest, stages - 1)));
  }
  return best;
}

TEST(Partition, SharesEqualLayersEvenly) {
  EXPECT_THAT(lengths(partition(eight_layers(1), 1, {})), ElementsAre(8));
  EXPECT_THAT(lengths(partition(eight_layers(1), 2, {})), ElementsAre(4, 4));
  EXPECT_THAT(lengths(partition(eight_layers(1), 4, {})), ElementsAre(2, 2, 2, 2));
  EXPECT_THAT(lengths(partition(eight_layers(1), 8, {})), ElementsAre(1, 1, 1, 1, 1, 1, 1, 1));
}

TEST(Partition, GivesTheStageOfAnExpensiveHeadFewerLayers) {
  // A layer multiplies 64 x (4 x 64 + 3 x 128) + 64 x 64 = 45,056 times; this head twice that.
  EXPECT_THAT(lengths(partition(eight_layers(1408), 2, {})), ElementsAre(5, 3));
  EXPECT_THAT(lengths(partition(eight_layers(1408), 4, {})), ElementsAre(2, 2, 3, 1));
}

TEST(Partition, PutsTheEmbeddingFirstAndTheHeadLast) {
  EXPECT_THAT(partition(eight_layers(1), 2, {}),
              ElementsAre(StageSpan{0, 4, true, false}, StageSpan{4, 8, false, true}));
  EXPECT_THAT(partition(eight_layers(1), 1, {}), ElementsAre(StageSpan{0, 8, true, true}));
}

TEST(Partition, FollowsTheLayersThatAreGiven) {
  EXPECT_THAT(lengths(partition(eight_layers(1), 3, {1, 5, 2})), ElementsAre(1, 5, 2));
}

TEST(Partition, OfAJobCountsAttentionAtItsSequenceLength) {
  Job job;
  job.model = eight_layers(1408);
  job.model.max_position_embeddings = 1 << 20;  // attention would dwarf the head
  job.data.seq_len = 64;
  EXPECT_THAT(lengths(partition(job, 2)), ElementsAre(5, 3));
}

TEST(Partition, RefusesWhatDoesNotFitAndSaysWhy) {
  const auto refusal = [](std::size_t stages, const std::vector<std::int64_t>& layers) {
    try {
      partition(eight_layers(1), stages, layers);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::usage);
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_THAT(refusal(0, {}), HasSubstr("0 stages"));
  EXPECT_THAT(refusal(9, {}), HasSubstr("9 stages for a model of 8 layers"));
  EXPECT_THAT(refusal(2, {3, 3, 2}), HasSubstr("[3, 3, 2]: 3 stages, but the job runs on 2"));
  EXPECT_THAT(refusal(2, {3, 4}), HasSubstr("7 layers, but the model has 8"));
  EXPECT_THAT(refusal(2, {8, 0}), HasSubstr("at least one layer"));
  EXPECT_THAT(refusal(2, {-1, 9}), HasSubstr("at least one layer"));
}

TEST(BalancedCut, IsAsGoodAsTheBestOfAllCuts) {
  KeyedRandom random(1, "costs");
  for (int round = 0; round < 200; ++round) {
    std::vector<std::uint64_t> costs(1 + static_cast<std::size_t>(random.uniform() * 9));
    for (std::uint64_t& cost : costs) cost = static_cast<std::uint64_t>(random.uniform() * 20);
    for (std::size_t stages = 1; stages <= costs.size(); ++stages) {
      const std::vector<std::int64_t> cut = balanced_cut(costs, stages);
      ASSERT_EQ(cut.size(), stages);
      EXPECT_EQ(std::accumulate(cut.begin(), cut.end(), std::int64_t{0}),
                static_cast<std::int64_t>(costs.size()));
      EXPECT_GE(*std::min_element(cut.begin(), cut.end()), 1);
      EXPECT_EQ(most_expensive(costs, cut), best_by_trying(costs, stages));
    }
  }
}

TEST(BalancedCut, PrefersTheMostEvenOfTheBest) {
  EXPECT_THAT(balanced_cut({1, 1, 1, 1, 1, 6}, 3), ElementsAre(2, 3, 1));
}

TEST(BalancedCut, CopesWithTheLargestModel) {
  const std::vector<std::uint64_t> costs(1024, std::uint64_t{1} << 50);
  EXPECT_EQ(balanced_cut(costs, 64), std::vector<std::int64_t>(64, 16));
}

TEST(BalancedCut, RefusesMorePiecesThanCosts) {
  EXPECT_THROW(balanced_cut({1, 2}, 3), Error);
  EXPECT_THROW(balanced_cut({1, 2}, 0), Error);
}

}  // namespace
}  // namespace ptrain::job
