#include "libcommon/job/keyed_random.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include <gtest/gtest.h>

namespace ptrain::job {
namespace {

// The known answers that the generator's authors publish with it (Random123, kat_vectors).
TEST(Philox, GivesThePublishedAnswers) {
  EXPECT_EQ(philox4x32_10({0, 0, 0, 0}, {0, 0}),
            (PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(
      philox4x32_10({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
      (PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(
      philox4x32_10({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
      (PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

// Computed by another implementation of the same definition, as are the normal numbers below.
TEST(KeyedRandom, UniformNumbersAreTheSameOnEveryMachine) {
  KeyedRandom random(1, "a");
  EXPECT_EQ(random.uniform(), 0x1.e91622288995cp-1);
  EXPECT_EQ(random.uniform(), 0x1.e8907ffcfdf7cp-2);
  EXPECT_EQ(random.uniform(), 0x1.557a262f81018p-2);
}

TEST(KeyedRandom, UniformNumbersLieInTheirIntervalWithItsMeanAndVariance) {
  constexpr int kCount = 100000;
  KeyedRandom random(1, "uniform");
  double sum = 0;
  double squares = 0;
  for (int i = 0; i < kCount; ++i) {
    const double x = random.uniform();
    ASSERT_GE(x, 0.0);
    ASSERT_LT(x, 1.0);
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / kCount, 0.5, 0.005);
  EXPECT_NEAR(squares / kCount, 1.0 / 3, 0.005);
}

TEST(KeyedRandom, StreamsDifferBySeedAndByName) {
  EXPECT_NE(KeyedRandom(1, "a").uniform(), KeyedRandom(2, "a").uniform());
  EXPECT_NE(KeyedRandom(1, "a").uniform(), KeyedRandom(1, "b").uniform());
  EXPECT_EQ(KeyedRandom(1, "a").uniform(), KeyedRandom(1, "a").uniform());
}

TEST(KeyedRandom, ACopyContinuesOnItsOwn) {
  KeyedRandom original(1, "a");
  original.uniform();
  KeyedRandom copy = original;
  EXPECT_EQ(original.normal(), copy.normal());
}

TEST(FillNormal, HasTheMomentsOfANormalDistribution) {
  std::vector<float> values(100000);
  fill_normal(values, 3, "weights", 2.0);
  double mean = 0;
  double variance = 0;
  double fourth = 0;
  for (const float x : values) {
    ASSERT_TRUE(std::isfinite(x));
    mean += x;
    variance += double{x} * x;
    fourth += std::pow(x, 4);
  }
  const auto count = static_cast<double>(values.size());
  EXPECT_NEAR(mean / count, 0.0, 0.03);
  EXPECT_NEAR(variance / count, 4.0, 0.08);
  EXPECT_NEAR(fourth / count / 16.0, 3.0, 0.1);
}

TEST(FillNormal, AnElementDependsOnItsIndexAndNotOnTheLength) {
  std::vector<float> longer(1001);
  std::vector<float> shorter(7);
  fill_normal(longer, 3, "weights", 0.02);
  fill_normal(shorter, 3, "weights", 0.02);
  EXPECT_TRUE(std::equal(shorter.begin(), shorter.end(), longer.begin()));
}

TEST(FillNormal, WritesNothingBesideWhatItIsToFill) {
  for (const std::size_t count : {0, 1, 2, 3}) {
    std::vector<float> values(5, 7.0F);
    fill_normal(std::span(values).subspan(1, count), 1, "x", 1.0);
    EXPECT_EQ(std::count(values.begin(), values.end(), 7.0F), 5 - static_cast<int>(count));
    EXPECT_EQ(values.front(), 7.0F);
    EXPECT_EQ(values[1 + count], 7.0F);
  }
}

TEST(FillNormal, IsTheSameOnEveryMachineUpToRounding) {
  std::vector<float> values(3);
  fill_normal(values, 1, "model.norm.weight", 1.0);
  EXPECT_FLOAT_EQ(values[0], -0.43348128695922505F);
  EXPECT_FLOAT_EQ(values[1], -0.6336676041999045F);
  EXPECT_FLOAT_EQ(values[2], 1.0439586555308722F);
}

}  // namespace
}  // namespace ptrain::job
