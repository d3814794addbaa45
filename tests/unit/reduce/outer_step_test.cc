#include "libcommon/reduce/outer_step.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "libcommon/base/error.h"
#include "libcommon/base/sha256.h"
#include "libcommon/base/subnormals.h"
#include "libcommon/reduce/kernels/kernels.h"
#include "tests/unit/reduce/lane_numbers.h"

namespace ptrain::reduce {
namespace {

using Vector = std::vector<float>;
constexpr std::size_t kSize = 461;  // no multiple of a vector

struct State {
  Vector anchor = lane_numbers(kSize, 1);
  Vector velocity = Vector(kSize);
  Vector weights = lane_numbers(kSize, 2);

  Sha256Digest digest() const {
    Sha256 all;
    for (const Vector& each : {anchor, velocity, weights}) {
      all.update(std::as_bytes(std::span(each)));
    }
    return all.digest();
  }
};

// The golden values are those of outer_step_golden.py.
TEST(OuterStep, HasTheBitsThatAnotherProgramComputes) {
  State state;
  Vector delta(kSize);
  for (int step = 0; step < 3; ++step) {
    pseudo_gradient(state.anchor, state.weights, delta);
    outer_step({.lr = 0.7F, .momentum = 0.9F}, delta, 3, state.anchor, state.velocity);
    mix(0.3F, state.anchor, state.weights);
  }
  EXPECT_EQ(to_hex(state.digest()),
            "86c81c8f9f14ae2738d546393b06b3367682a2c504f8362c23b9c35b534e77b2");
}

TEST(OuterStep, HasThemOnEveryInstructionSet) {
  for (const InstructionSet set : instruction_sets()) {
    const Kernels& k = kernels_for(set);
    State state;
    Vector delta(kSize);
    for (int step = 0; step < 3; ++step) {
      k.difference(state.anchor.data(), state.weights.data(), delta.data(), kSize);
      k.nesterov({.weight = 3, .momentum = 0.9F, .lr = 0.7F}, delta.data(), state.anchor.data(),
                 state.velocity.data(), kSize);
      k.mix(state.anchor.data(), 0.3F, 1 - 0.3F, state.weights.data(), kSize);
    }
    EXPECT_EQ(to_hex(state.digest()),
              "86c81c8f9f14ae2738d546393b06b3367682a2c504f8362c23b9c35b534e77b2")
        << "instruction set " << static_cast<int>(set);
  }
}

TEST(OuterStep, IsTorchsNesterov) {
  Vector anchor = lane_numbers(4, 1);
  Vector velocity(4);
  for (std::uint64_t step = 0; step < 3; ++step) {
    outer_step({.lr = 0.7F, .momentum = 0.9F}, lane_numbers(4, 10 + step), 1, anchor, velocity);
  }
  const double expected[] = {0.5518905520439148, 1.3774101734161377, 0.821937620639801,
                             -0.10803382098674774};
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(anchor[i], expected[i], 1e-6);
}

// Algorithm 1 of the paper, in float64, over rounds of four lanes.
TEST(OuterStep, FollowsThePaper) {
  constexpr int kLanes = 4;
  const OuterRule rule{.lr = 0.6F, .momentum = 0.8F};
  Vector anchor = lane_numbers(kSize, 1);
  Vector velocity(kSize);
  std::vector<double> exact(anchor.begin(), anchor.end());
  std::vector<double> exact_velocity(kSize);
  for (std::uint64_t round = 0; round < 5; ++round) {
    Vector sum(kSize);
    std::vector<double> mean(kSize);
    for (std::uint64_t lane = 0; lane < kLanes; ++lane) {
      Vector weights = lane_numbers(kSize, 100 * round + lane);
      Vector delta(kSize);
      pseudo_gradient(anchor, weights, delta);
      for (std::size_t i = 0; i < kSize; ++i) {
        sum[i] += delta[i];
        mean[i] += (exact[i] - double{weights[i]}) / kLanes;
      }
    }
    outer_step(rule, sum, kLanes, anchor, velocity);
    for (std::size_t i = 0; i < kSize; ++i) {
      exact_velocity[i] = double{rule.momentum} * exact_velocity[i] + mean[i];
      exact[i] -= double{rule.lr} * (mean[i] + double{rule.momentum} * exact_velocity[i]);
    }
  }
  for (std::size_t i = 0; i < kSize; ++i) ASSERT_NEAR(anchor[i], exact[i], 2e-5);
}

TEST(OuterStep, WithAFullStepAndNoMomentumTheAnchorIsTheMeanOfTheLanes) {
  Vector anchor{4, 4};
  Vector velocity(2);
  outer_step({.lr = 1, .momentum = 0}, Vector{4 - 1 + 4 - 3, 4 - 8 + 4 - 0}, 2, anchor, velocity);
  EXPECT_EQ(anchor, (Vector{2, 4}));
}

TEST(Mixing, KeepsAPartOfWhatALaneHas) {
  const Vector anchor{1, -2, std::nextafter(1.0F, 2.0F)};
  Vector weights{3, 2, 7};
  mix(0.5F, anchor, weights);
  EXPECT_EQ(weights[0], 2);
  EXPECT_EQ(weights[1], 0);
  mix(1, anchor, weights);
  EXPECT_EQ(weights[0], 2);
  mix(0, anchor, weights);
  EXPECT_EQ(std::memcmp(weights.data(), anchor.data(), sizeof(float) * 3), 0);
}

// As the training thread calls it. Numbers of 2^-120 to 2^-132, made before the mode is changed.
TEST(OuterStep, HasTheSameBitsInAThreadThatFlushesSubnormals) {
  State tiny;
  for (Vector* each : {&tiny.anchor, &tiny.weights}) {
    for (float& x : *each) x *= 0x1p-120F;
  }
  const auto steps_from = [](State state) {
    Vector delta(kSize);
    for (int step = 0; step < 3; ++step) {
      pseudo_gradient(state.anchor, state.weights, delta);
      outer_step({}, delta, 3, state.anchor, state.velocity);
      mix(0.3F, state.anchor, state.weights);
    }
    return to_hex(state.digest());
  };
  const std::string kept = steps_from(tiny);
  const SubnormalMode mode(Subnormals::flushed);
  EXPECT_EQ(steps_from(tiny), kept);
}

TEST(OuterStep, WhatCannotBeIsRefused) {
  Vector three(3);
  Vector other(3);
  Vector two(2);
  Vector out(3);
  EXPECT_THROW(pseudo_gradient(three, two, out), Error);
  EXPECT_THROW(pseudo_gradient(three, other, two), Error);
  EXPECT_THROW(outer_step({}, three, 1, two, out), Error);
  EXPECT_THROW(outer_step({}, three, 1, other, two), Error);
  EXPECT_THROW(mix(0.5F, three, two), Error);
  EXPECT_THROW(mix(-0.1F, three, out), Error);
  EXPECT_THROW(mix(1.1F, three, out), Error);
  EXPECT_THROW(mix(std::nanf(""), three, out), Error);
  for (const float weight : {0.0F, -1.0F, std::nanf(""), std::numeric_limits<float>::infinity()}) {
    EXPECT_THROW(outer_step({}, three, weight, other, out), Error);
  }
  EXPECT_NO_THROW(outer_step({}, three, std::numeric_limits<float>::min(), other, out));
}

}  // namespace
}  // namespace ptrain::reduce
