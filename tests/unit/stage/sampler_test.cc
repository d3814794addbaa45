#include "tools/stage/sampler.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

namespace ptrain::stage {
namespace {

const std::vector<float> kLogits{std::log(1.0F), std::log(2.0F), std::log(5.0F), std::log(2.0F)};

std::vector<double> frequencies(const SamplerOptions& options, std::uint64_t seed) {
  constexpr int kDraws = 20000;
  job::KeyedRandom random(seed, "sample");
  std::vector<double> share(kLogits.size());
  for (int i = 0; i < kDraws; ++i) {
    share[static_cast<std::size_t>(sample_token(kLogits, options, random))] += 1.0 / kDraws;
  }
  return share;
}

TEST(Sampler, DrawsFromTheSoftmax) {
  const auto share = frequencies({.temperature = 1, .top_k = 0}, 1);
  const std::vector<double> expected{0.1, 0.2, 0.5, 0.2};
  for (std::size_t i = 0; i < share.size(); ++i) EXPECT_NEAR(share[i], expected[i], 0.015) << i;
}

TEST(Sampler, TemperatureSharpensTheDistribution) {
  const auto share = frequencies({.temperature = 0.5, .top_k = 0}, 1);
  EXPECT_NEAR(share[2], 25.0 / 34, 0.015);  // squares of 1, 2, 5, 2
}

TEST(Sampler, TopKLeavesOnlyTheLikeliestAndTiesGoToTheLowerToken) {
  const auto share = frequencies({.temperature = 1, .top_k = 2}, 1);
  EXPECT_EQ(share[0], 0);
  EXPECT_EQ(share[3], 0);
  EXPECT_NEAR(share[2], 5.0 / 7, 0.015);
}

TEST(Sampler, TemperatureZeroTakesTheLikeliest) {
  EXPECT_NEAR(frequencies({.temperature = 0, .top_k = 0}, 1)[2], 1, 1e-9);
}

TEST(Sampler, TheSameSeedDrawsTheSameTokens) {
  EXPECT_EQ(frequencies({.temperature = 1, .top_k = 0}, 7),
            frequencies({.temperature = 1, .top_k = 0}, 7));
  EXPECT_NE(frequencies({.temperature = 1, .top_k = 0}, 7),
            frequencies({.temperature = 1, .top_k = 0}, 8));
}

}  // namespace
}  // namespace ptrain::stage
