#include "libcommon/reduce/all_reduce.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/base/error.h"
#include "tests/unit/reduce/company.h"
#include "tests/unit/reduce/lane_numbers.h"

namespace ptrain::reduce {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::vector<Vector> lanes_of_numbers(std::uint32_t lanes, std::uint64_t elements,
                                     std::uint64_t seed) {
  std::vector<Vector> all;
  for (std::uint32_t l = 0; l < lanes; ++l) all.push_back(lane_numbers(elements, 100 * seed + l));
  return all;
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

// What the codec of every edge may have changed of an element of the sum, at most, without
// feedback.
double bound_of(EdgeCodecKind codec, std::uint32_t lanes, double magnitudes, double largest) {
  const double edges = 2.0 * lanes - 1;
  const double rounding = edges * magnitudes * 0x1p-23;
  if (codec == EdgeCodecKind::fp32) return rounding;
  if (codec == EdgeCodecKind::bf16) return rounding + edges * magnitudes * 0x1p-8;
  return edges * lanes * largest / (codec == EdgeCodecKind::int8 ? 253 : 13);
}

class EveryRule : public testing::TestWithParam<EdgeRule> {};

INSTANTIATE_TEST_SUITE_P(
    Rules, EveryRule,
    testing::Values(EdgeRule{EdgeCodecKind::fp32, 0}, EdgeRule{EdgeCodecKind::bf16, 0},
                    EdgeRule{EdgeCodecKind::bf16, 1}, EdgeRule{EdgeCodecKind::int8, 0},
                    EdgeRule{EdgeCodecKind::int8, 1}, EdgeRule{EdgeCodecKind::int4, 1},
                    EdgeRule{EdgeCodecKind::top_k, 0.95F}),
    [](const auto& rule) {
      return std::string(edge_codec(rule.param.codec).name()) +
             (rule.param.feedback > 0 ? "_with_feedback" : "");
    });

TEST_P(EveryRule, AnyAssignmentOwnersAndOrderGiveTheBitsOfOneProcess) {
  std::mt19937 random(20);
  for (int i = 0; i < 30; ++i) {
    const std::uint32_t lanes = 1 + random() % 9;
    const std::uint64_t elements = random() % (5 * kBlockElements);
    Reference reference(GetParam(), lanes);
    Company company(any_plan(lanes, 1 + random() % 9, elements, GetParam(), random));
    for (int round = 0; round < 3; ++round) {
      const std::vector<Vector> numbers = lanes_of_numbers(lanes, elements, 10 * i + round);
      const Vector expected = reference.sum(numbers);
      for (const Vector& sum : company.sum(numbers, random, random() % 2 == 0)) {
        ASSERT_TRUE(same_bits(sum, expected)) << "case " << i << ", round " << round;
      }
    }
    for (const ResidualPlace& place : places_in_sums(company.plan())) {
      const ElementRange& part = place.elements;
      const std::span<const float> all = reference.residual(place.edge);
      ASSERT_TRUE(same_bits(company.residuals()[place.member.value()].of(place.edge, part),
                            all.subspan(part.first, part.count)));
    }
  }
}

TEST_P(EveryRule, LanesAndChunksChangeHandsBetweenRoundsAndNoBitChanges) {
  std::mt19937 random(21);
  const std::uint32_t lanes = 6;
  const std::uint64_t elements = 4 * kBlockElements + 99;
  Reference reference(GetParam(), lanes);
  const auto plan_of_three = [&] {
    for (;;) {
      ReducePlan plan = any_plan(lanes, 3, elements, GetParam(), random);
      if (plan.members.size() == 3) return plan;
    }
  };
  Company company(plan_of_three());
  for (int round = 0; round < 6; ++round) {
    const std::vector<Vector> numbers = lanes_of_numbers(lanes, elements, 500 + round);
    const Vector expected = reference.sum(numbers);
    for (const Vector& sum : company.sum(numbers, random)) {
      ASSERT_TRUE(same_bits(sum, expected)) << "round " << round;
    }
    company.change(plan_of_three());
  }
}

// What is fed back, or kept by top_k, has no such bound: see the telescoping sum.
class EveryPlainRule : public testing::TestWithParam<EdgeCodecKind> {};

INSTANTIATE_TEST_SUITE_P(Codecs, EveryPlainRule,
                         testing::Values(EdgeCodecKind::fp32, EdgeCodecKind::bf16,
                                         EdgeCodecKind::int8, EdgeCodecKind::int4),
                         [](const auto& kind) {
                           return std::string(edge_codec(kind.param).name());
                         });

TEST_P(EveryPlainRule, IsTheSumInFloat64WithinTheCodecsBound) {
  std::mt19937 random(22);
  for (std::uint32_t lanes = 1; lanes <= 9; ++lanes) {
    const std::uint64_t elements = kBlockElements + 777;
    const std::vector<Vector> numbers = lanes_of_numbers(lanes, elements, 700 + lanes);
    Company company(any_plan(lanes, 4, elements, {GetParam(), 0}, random));
    const Vector sum = company.sum(numbers, random)[0];
    for (std::uint64_t i = 0; i < elements; ++i) {
      double exact = 0;
      double magnitudes = 0;
      for (const Vector& lane : numbers) {
        exact += lane[i];
        magnitudes += std::abs(lane[i]);
      }
      ASSERT_LE(std::abs(sum[i] - exact), bound_of(GetParam(), lanes, magnitudes, 1.0));
    }
  }
}

// With all of the loss fed back, what was summed over all rounds, and what the edges still hold,
// is what the lanes gave: nothing is lost for good.
TEST(ErrorFeedback, TelescopesOverTheWholeTree) {
  std::mt19937 random(23);
  for (const EdgeCodecKind codec :
       {EdgeCodecKind::bf16, EdgeCodecKind::int8, EdgeCodecKind::int4, EdgeCodecKind::top_k}) {
    const std::uint32_t lanes = 5;
    const std::uint64_t elements = 2 * kBlockElements + 10;
    Company company(any_plan(lanes, 3, elements, {codec, 1}, random));
    std::vector<double> given(elements);
    std::vector<double> taken(elements);
    double without_residuals = 0;
    for (int round = 0; round < 8; ++round) {
      const std::vector<Vector> numbers = lanes_of_numbers(lanes, elements, 900 + round);
      const Vector sum = company.sum(numbers, random)[0];
      for (std::uint64_t i = 0; i < elements; ++i) {
        taken[i] += sum[i];
        for (const Vector& lane : numbers) given[i] += lane[i];
      }
    }
    for (std::uint64_t i = 0; i < elements; ++i) {
      without_residuals = std::max(without_residuals, std::abs(given[i] - taken[i]));
    }
    for (const ResidualPlace& place : places_in_sums(company.plan())) {
      const auto part = company.residuals()[place.member.value()].of(place.edge, place.elements);
      for (std::uint64_t i = 0; i < part.size(); ++i) taken[place.elements.first + i] += part[i];
    }
    for (std::uint64_t i = 0; i < elements; ++i) ASSERT_NEAR(taken[i], given[i], 2e-4) << i;
    EXPECT_GT(without_residuals, 2e-3);  // or the residuals would not matter
  }
}

TEST(AllReduce, OfOneLaneAndOneMemberIsTheLane) {
  std::mt19937 random(24);
  Company company(any_plan(1, 1, 3 * kBlockElements, {}, random));
  const std::vector<Vector> numbers = lanes_of_numbers(1, 3 * kBlockElements, 1);
  EXPECT_TRUE(same_bits(company.sum(numbers, random)[0], numbers[0]));
}

TEST(AllReduce, SendsOneSubtotalForWholeSubtreesAndGoesNoFurtherThanTheWindow) {
  ReducePlan plan{.members = {"a", "b"},
                  .holder_of_lane = {},
                  .chunks = cut(20 * kBlockElements, std::vector<double>{0, 1}),
                  .piece_elements = kBlockElements,
                  .window_pieces = 3};
  for (const std::uint32_t holder : {1, 0, 0, 1, 0, 0, 0, 0}) {
    plan.holder_of_lane.emplace_back(holder);
  }
  std::vector<Letter> letters;
  LetterBox post(MemberIndex(0), letters);
  Residuals none;
  AllReduce member(plan, MemberIndex(0), none, post);
  const Vector values(plan.elements(), 1);
  Vector sum(plan.elements());
  EXPECT_FALSE(member.work());  // nothing is known of the lanes yet
  std::vector<LaneValues> lanes;
  for (const LaneIndex lane : plan.lanes_of(MemberIndex(0))) lanes.push_back({lane, values});
  member.begin(lanes, sum);
  while (member.work()) {
  }
  ASSERT_EQ(letters.size(), 9U);
  for (std::uint32_t i = 0; i < 9; ++i) {
    const LaneRange nodes[] = {{1, 2}, {2, 3}, {4, 8}};
    EXPECT_EQ(letters[i].part, (PartName{PartKind::subtotal, nodes[i % 3], i / 3}));
  }
  EXPECT_EQ(member.awaited(), std::vector<MemberIndex>{MemberIndex(1)});
  // A total of a later piece gives no leave to go on; that of the first does, for both.
  const wire::Buffer bytes = wire::Buffer::copy_of(std::as_bytes(std::span(values).first(4096)));
  member.arrived(MemberIndex(1), {PartKind::total, plan.root(), 1}, bytes);
  EXPECT_FALSE(member.work());
  member.arrived(MemberIndex(1), {PartKind::total, plan.root(), 0}, bytes);
  while (member.work()) {
  }
  EXPECT_EQ(letters.size(), 15U);
  EXPECT_FALSE(member.done());
}

// Member "beta" owns all; "alpha" sends.
class Refusals : public testing::Test {
 protected:
  ReducePlan plan{.members = {"alpha", "beta"},
                  .holder_of_lane = {MemberIndex(0), MemberIndex(0), MemberIndex(1)},
                  .chunks = cut(4 * kBlockElements, std::vector<double>{1, 3}),
                  .piece_elements = kBlockElements,
                  .window_pieces = 2};
  std::vector<Letter> letters;
  LetterBox post{MemberIndex(1), letters};
  Residuals none;
  Vector values = Vector(plan.elements(), 2);
  Vector sum = Vector(plan.elements());
  std::unique_ptr<AllReduce> member;
  PartName part{PartKind::subtotal, {0, 2}, 0};

  void start() {
    member = std::make_unique<AllReduce>(plan, MemberIndex(1), none, post);
    member->begin(std::vector<LaneValues>{{LaneIndex(2), values}}, sum);
  }

  wire::Buffer encoded(const Vector& x) const {
    const EdgeCodec& codec = edge_codec(plan.edges.codec);
    wire::MutableBuffer bytes(codec.encoded_size(x.size()).value());
    EXPECT_FALSE(codec.encode(x, bytes.bytes()));
    return std::move(bytes).freeze();
  }
  wire::Buffer good() const { return encoded(Vector(kBlockElements, 1)); }
  wire::Buffer raw(const Vector& x) const {
    return wire::Buffer::copy_of(std::as_bytes(std::span(x)));
  }

  // The words of its refusal.
  std::string refusal(const PartName& name, const wire::Buffer& bytes) {
    try {
      member->arrived(MemberIndex(0), name, bytes);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::corrupt);
      return error.what();
    }
    return "accepted";
  }
};

TEST_F(Refusals, NameTheMemberThePartAndTheFlaw) {
  start();
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    Vector x(kBlockElements, 1);
    x[70] = bad;
    EXPECT_THAT(
        refusal(part, raw(x)),
        AllOf(HasSubstr("subtotal of lanes 0 to 1, piece 0 from alpha"), HasSubstr("element 70")));
  }
  EXPECT_THAT(refusal(part, raw(Vector(kBlockElements - 1, 1))), HasSubstr("16380 bytes"));
  EXPECT_THAT(refusal(part, raw(Vector(kBlockElements + 1, 1))), HasSubstr("16388 bytes"));
  EXPECT_THAT(refusal(part, raw({})), HasSubstr("0 bytes"));
  for (const LaneRange lanes :
       {LaneRange{0, 1}, LaneRange{2, 3}, LaneRange{0, 3}, LaneRange{5, 0}}) {
    EXPECT_THAT(refusal({PartKind::subtotal, lanes, 0}, good()), HasSubstr("from alpha"));
  }
  EXPECT_THAT(refusal({PartKind::subtotal, {0, 2}, 3}, good()), HasSubstr("has 3 pieces"));
  EXPECT_THAT(refusal({PartKind::subtotal, {0, 2}, 2}, good()), HasSubstr("ahead of piece 0"));
  EXPECT_THAT(refusal({static_cast<PartKind>(7), {0, 2}, 0}, good()), HasSubstr("kind is 7"));
  // Of alpha's own chunk, which has one piece.
  EXPECT_THAT(refusal({PartKind::total, {0, 3}, 0}, good()), HasSubstr("still to come"));
  EXPECT_THAT(refusal({PartKind::total, {0, 3}, 1}, good()), HasSubstr("has 1 pieces"));
  while (member->work()) {
  }
  EXPECT_THAT(refusal({PartKind::total, {0, 2}, 0}, good()), HasSubstr("lanes 0 to 2"));
  EXPECT_THAT(refusal({PartKind::total, {0, 3}, 0}, raw({1, 2})), HasSubstr("8 bytes"));

  // Nothing of it has left a trace.
  EXPECT_EQ(refusal({PartKind::subtotal, {0, 2}, 1}, good()), "accepted");  // the window's last
  for (const std::uint32_t piece : {0, 2}) {
    EXPECT_EQ(refusal({PartKind::subtotal, {0, 2}, piece}, good()), "accepted");
    while (member->work()) {
    }
  }
  EXPECT_EQ(refusal({PartKind::total, {0, 3}, 0}, good()), "accepted");
  EXPECT_TRUE(member->done());
  for (std::uint64_t i = 0; i < sum.size(); ++i) ASSERT_EQ(sum[i], i < kBlockElements ? 1 : 3);
}

TEST_F(Refusals, WhatComesTwiceIsDropped) {
  start();
  while (member->work()) {
  }
  EXPECT_EQ(refusal(part, good()), "accepted");
  const std::size_t sent = letters.size();
  EXPECT_EQ(refusal(part, good()), "accepted");
  EXPECT_EQ(refusal({PartKind::subtotal, {0, 2}, 1}, good()), "accepted");
  EXPECT_EQ(letters.size(), sent + 1);
  EXPECT_EQ(refusal({PartKind::total, {0, 3}, 0}, good()), "accepted");
  EXPECT_EQ(refusal({PartKind::total, {0, 3}, 0}, encoded(Vector(kBlockElements, 5))), "accepted");
  EXPECT_EQ(sum[0], 1);
}

TEST_F(Refusals, OfEveryCodecWhatIsNotFinite) {
  for (std::uint8_t kind = 0; kind < kEdgeCodecKinds; ++kind) {
    plan.edges.codec = static_cast<EdgeCodecKind>(kind);
    start();
    const wire::Buffer bytes = good();
    std::vector<std::byte> bad(bytes.bytes().begin(), bytes.bytes().end());
    const bool bf16 = plan.edges.codec == EdgeCodecKind::bf16;
    const std::uint32_t not_a_number = bf16 ? 0x7fc07fc0U : 0x7fc00000U;
    std::memcpy(bad.data(), &not_a_number, sizeof not_a_number);
    EXPECT_THAT(refusal(part, wire::Buffer::copy_of(bad)), HasSubstr("from alpha"));
    EXPECT_EQ(refusal(part, bytes), "accepted");
  }
}

TEST_F(Refusals, OwnLanesAndSumsThatAreNotFiniteAreNamed) {
  values[kBlockElements + 5] = std::nanf("");  // the first of our own chunk
  start();
  try {
    while (member->work()) {
    }
    ADD_FAILURE() << "a lane that is not finite was sent";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::corrupt);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("element 4101"), HasSubstr("lane 2, at beta")));
  }

  values.assign(values.size(), std::numeric_limits<float>::max());
  start();
  while (member->work()) {
  }
  const Vector large(kBlockElements, std::numeric_limits<float>::max());
  EXPECT_THAT(refusal(part, encoded(large)), HasSubstr("the sum of lanes 0 to 2, at beta"));
}

TEST(AllReduce, RefusesOtherLanesThanThePlans) {
  ReducePlan plan{.members = {"a", "b"},
                  .holder_of_lane = {MemberIndex(0), MemberIndex(1)},
                  .chunks = cut(100, std::vector<double>{1, 0})};
  std::vector<Letter> letters;
  LetterBox post(MemberIndex(0), letters);
  Residuals none;
  Vector x(100);
  Vector shorter(99);
  const auto begin = [&](std::vector<LaneValues> lanes, std::span<float> sum) {
    AllReduce(plan, MemberIndex(0), none, post).begin(lanes, sum);
  };
  EXPECT_NO_THROW(begin({{LaneIndex(0), x}}, x));
  EXPECT_THROW(begin({}, x), Error);
  EXPECT_THROW(begin({{LaneIndex(1), x}}, x), Error);
  EXPECT_THROW(begin({{LaneIndex(2), x}}, x), Error);
  EXPECT_THROW(begin({{LaneIndex(0), x}, {LaneIndex(0), x}}, x), Error);
  EXPECT_THROW(begin({{LaneIndex(0), shorter}}, x), Error);
  EXPECT_THROW(begin({{LaneIndex(0), x}}, shorter), Error);
  EXPECT_THROW(AllReduce(plan, MemberIndex(2), none, post), Error);
  AllReduce member(plan, MemberIndex(0), none, post);
  EXPECT_THROW(member.arrived(MemberIndex(0), {}, {}), Error);
  EXPECT_THROW(member.arrived(MemberIndex(2), {}, {}), Error);
}

}  // namespace
}  // namespace ptrain::reduce
