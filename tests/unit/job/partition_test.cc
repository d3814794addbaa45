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

std::vector<std::int64_t> blocks(const std::vector<StageSpan>& spans) {
  std::vector<std::int64_t> result;
  for (const StageSpan& span : spans) result.push_back(span.blocks());
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

TEST(Partition, FollowsCutsInsideLayersThatAreGiven) {
  const std::vector<StageSpan> spans = partition(
      eight_layers(1), 4, {{false, 2, true}, {true, 3, false}, {false, 0, true}, {true, 1, false}});
  EXPECT_THAT(spans, ElementsAre(StageSpan{0, 3, true, false, false, true},
                                 StageSpan{2, 6, false, false, true, false},
                                 StageSpan{6, 7, false, false, false, true},
                                 StageSpan{6, 8, false, true, true, false}));
  EXPECT_THAT(blocks(spans), ElementsAre(5, 7, 1, 3));
}

TEST(Partition, BetweenBlocksIsAtLeastAsEvenAsBetweenLayers) {
  // Attention multiplies 64 x 4 x 64 + 64 x 64 = 20,480 times, an MLP 24,576, and this head 90,112:
  // of 450,560 in all.
  const auto between_blocks = [](std::size_t stages) {
    return partition(eight_layers(1408), stages, {}, CutBetween::blocks);
  };
  EXPECT_THAT(blocks(between_blocks(2)), ElementsAre(10, 6));
  EXPECT_THAT(blocks(between_blocks(4)), ElementsAre(5, 5, 5, 1));
  EXPECT_EQ(between_blocks(4)[1], (StageSpan{2, 5, false, false, true, false}));
  EXPECT_THAT(blocks(between_blocks(16)), testing::Each(1));
}

TEST(Partition, OfAJobCutsWhereTheJobSays) {
  Job job;
  job.model = eight_layers(1408);
  job.data.seq_len = 64;
  EXPECT_THAT(blocks(partition(job, 4)), ElementsAre(4, 4, 6, 2));
  job.pipeline.cut = CutBetween::blocks;
  EXPECT_THAT(blocks(partition(job, 4)), ElementsAre(5, 5, 5, 1));
}

TEST(Partition, OfAJobCountsAttentionAtItsSequenceLength) {
  Job job;
  job.model = eight_layers(1408);
  job.model.max_position_embeddings = 1 << 20;  // attention would dwarf the head
  job.data.seq_len = 64;
  EXPECT_THAT(lengths(partition(job, 2)), ElementsAre(5, 3));
}

TEST(Partition, RefusesWhatDoesNotFitAndSaysWhy) {
  const auto refusal = [](std::size_t stages, const std::vector<StageLayers>& layers) {
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
  EXPECT_NO_THROW(partition(eight_layers(1), 16, {}, CutBetween::blocks));
  EXPECT_THROW(partition(eight_layers(1), 17, {}, CutBetween::blocks), Error);
  EXPECT_THAT(refusal(2, {3, 3, 2}), HasSubstr("[3, 3, 2]: 3 stages, but the job runs on 2"));
  EXPECT_THAT(refusal(2, {3, 4}), HasSubstr("7 layers, but the model has 8"));
  EXPECT_THAT(refusal(2, {8, 0}), HasSubstr("[8, 0]: a stage holds at least one layer"));
  EXPECT_THAT(refusal(2, {-1, 9}), HasSubstr("at least one layer"));
  EXPECT_THAT(refusal(2, {{false, 3, true}, 5}),
              HasSubstr("[3+attention, 5]: stage 0 ends with the attention part of a layer, but"));
  EXPECT_THAT(refusal(2, {3, {true, 4, false}}),
              HasSubstr("stage 1 begins with the MLP part of a layer, but"));
  EXPECT_THAT(refusal(2, {{false, 3, true}, {true, 3, false}}),
              HasSubstr("7 layers, but the model has 8"));
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
