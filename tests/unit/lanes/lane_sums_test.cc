#include "libcommon/lanes/lane_sums.h"

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/reduce/lane_numbers.h"

namespace ptrain::lanes {
namespace {

using namespace std::chrono_literals;
using reduce::cut;
using reduce::EdgeCodecKind;
using reduce::EdgeRule;
using reduce::kBlockElements;
using reduce::LaneIndex;
using reduce::MemberIndex;
using reduce::ReducePlan;
using reduce::Residuals;
using reduce::SumId;
using testing::AllOf;
using testing::HasSubstr;

using Vector = std::vector<float>;
constexpr Duration kPatience = 60s;
constexpr std::uint32_t kLanes = 4;

ReducePlan plan_of(std::vector<std::uint32_t> holders, std::uint64_t elements, EdgeRule rule = {}) {
  ReducePlan plan;
  for (const std::uint32_t holder : holders) {
    while (plan.members.size() <= holder) {
      plan.members.push_back("peer-" + std::to_string(plan.members.size()));
    }
    plan.holder_of_lane.emplace_back(holder);
  }
  plan.chunks = cut(elements, std::vector<double>(plan.members.size(), 1));
  plan.edges = rule;
  plan.piece_elements = kBlockElements;
  plan.window_pieces = 2;
  return plan;
}

// All members in one process: a message is handed over by the thread that sends it.
class Company {
 public:
  explicit Company(std::size_t members) : carriers_(members), sums_(members) {
    for (std::uint32_t m = 0; m < members; ++m) carriers_[m] = std::make_unique<Line>(*this, m);
    for (std::uint32_t m = 0; m < members; ++m) {
      sums_[m] = std::make_unique<LaneSums>(MemberIndex(m), *carriers_[m], clock_);
    }
  }

  LaneSums& operator[](std::uint32_t member) { return *sums_[member]; }
  // To that member nothing can be sent any more.
  void cut_off(std::uint32_t member) { cut_off_ = member; }
  // Of messages that were not consumed.
  int credits() const { return credits_; }
  int sent() const { return sent_; }

 private:
  struct Line final : Carrier {
    Line(Company& all, std::uint32_t member) : company(all), self(member) {}
    bool send(MemberIndex to, wire::Message message) override {
      if (company.cut_off_ == to.value()) return false;
      ++company.credits_;
      ++company.sent_;
      company.sums_[to.value()]->arrived(MemberIndex(self), std::move(message),
                                         net::Credit([&c = company] { --c.credits_; }));
      return true;
    }
    Company& company;
    std::uint32_t self;
  };

  SteadyClock clock_;
  std::atomic<int> credits_ = 0;
  std::atomic<int> sent_ = 0;
  std::atomic<std::uint32_t> cut_off_ = 1000;
  std::vector<std::unique_ptr<Line>> carriers_;
  std::vector<std::unique_ptr<LaneSums>> sums_;
};

// A vector for each lane, and what each member has of a sum of them.
struct Round {
  Round(ReducePlan of, std::uint64_t seed)
      : plan(std::move(of)), sums(plan.members.size(), Vector(plan.elements(), -1)) {
    for (std::uint32_t lane = 0; lane < plan.holder_of_lane.size(); ++lane) {
      lanes.push_back(reduce::lane_numbers(plan.elements(), 10 * seed + lane));
    }
  }
  SumOrder order_of(std::uint32_t member, std::uint64_t id, Residuals& residuals) {
    SumOrder order{
        .id = SumId(id), .plan = plan, .residuals = &residuals, .lanes = {}, .sum = sums[member]};
    for (const LaneIndex lane : plan.lanes_of(MemberIndex(member))) {
      order.lanes.push_back({lane, lanes[lane.value()]});
    }
    return order;
  }
  ReducePlan plan;
  std::vector<Vector> lanes;
  std::vector<Vector> sums;
};

std::vector<Residuals> residuals_of(const ReducePlan& plan) {
  std::vector<Residuals> all;
  for (std::uint32_t m = 0; m < plan.members.size(); ++m) {
    all.emplace_back(places_in_sums(plan), MemberIndex(m));
  }
  return all;
}

// What some rounds come to where one member holds all lanes.
std::vector<Vector> alone(std::uint64_t elements, EdgeRule rule, std::uint64_t rounds) {
  const ReducePlan plan = plan_of(std::vector<std::uint32_t>(kLanes, 0), elements, rule);
  std::vector<Residuals> residuals = residuals_of(plan);
  Company company(1);
  std::vector<Vector> sums;
  for (std::uint64_t r = 0; r < rounds; ++r) {
    Round round(plan, r);
    company[0].order(round.order_of(0, r, residuals[0]));
    EXPECT_TRUE(company[0].wait(SumId(r), kPatience));
    sums.push_back(round.sums[0]);
  }
  return sums;
}

bool same_bits(const Vector& a, const Vector& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

bool becomes(const std::function<bool()>& condition) {
  const SteadyClock clock;
  const TimePoint end = clock.now() + kPatience;
  while (!condition() && clock.now() < end) std::this_thread::sleep_for(1ms);
  return condition();
}

// Each member orders its sums ahead and at its own time.
TEST(LaneSums, ComeToTheBitsOfOneProcessWhoeverIsAhead) {
  constexpr std::uint64_t kRounds = 4;
  constexpr std::uint64_t kElements = 11 * kBlockElements + 17;
  for (const EdgeRule rule : {EdgeRule{}, EdgeRule{EdgeCodecKind::int8, 1}}) {
    const std::vector<Vector> expected = alone(kElements, rule, kRounds);
    const ReducePlan plan = plan_of({0, 1, 0, 2}, kElements, rule);
    std::vector<Residuals> residuals = residuals_of(plan);
    std::vector<Round> rounds;
    for (std::uint64_t r = 0; r < kRounds; ++r) rounds.emplace_back(plan, r);
    Company company(3);
    for (std::uint64_t r = 0; r < kRounds; ++r) {
      company[0].order(rounds[r].order_of(0, r, residuals[0]));
    }
    for (const std::uint32_t member : {1U, 2U}) {
      for (std::uint64_t r = 0; r < kRounds; ++r) {
        company[member].order(rounds[r].order_of(member, r, residuals[member]));
        if (member == 2) {
          ASSERT_TRUE(company[2].wait(SumId(r), kPatience));
        }
      }
    }
    for (std::uint64_t r = 0; r < kRounds; ++r) {
      for (const std::uint32_t member : {0U, 1U}) {
        ASSERT_TRUE(company[member].wait(SumId(r), kPatience));
      }
      for (const Vector& sum : rounds[r].sums) EXPECT_TRUE(same_bits(sum, expected[r])) << r;
    }
    EXPECT_EQ(company.credits(), 0);
    EXPECT_GT(company.sent(), 100);
  }
}

TEST(LaneSums, OfSumsThatAreNotOrderedHereTheCreditIsKept) {
  const ReducePlan plan = plan_of({0, 1}, 8 * kBlockElements);
  std::vector<Residuals> residuals = residuals_of(plan);
  Round round(plan, 1);
  Company company(2);
  company[0].order(round.order_of(0, 5, residuals[0]));
  EXPECT_FALSE(company[0].wait(SumId(5), 1ms));
  // As much as the window permits, each of them a name and its bytes; of names nothing is kept.
  EXPECT_TRUE(becomes([&] { return company.sent() == 4 && company.credits() == 2; }));
  EXPECT_TRUE(
      becomes([&] { return company[0].awaited() == std::vector<MemberIndex>{MemberIndex(1)}; }));
  company[1].order(round.order_of(1, 5, residuals[1]));
  const auto figures = company[1].wait(SumId(5), kPatience);
  ASSERT_TRUE(figures);
  EXPECT_TRUE(company[0].wait(SumId(5), kPatience));
  EXPECT_EQ(company.credits(), 0);
  EXPECT_TRUE(company[0].awaited().empty());
  // Two halves each way: its part of the other's chunk, and the total of its own.
  EXPECT_EQ(figures->tx_bytes, ByteCount(8 * kBlockElements * sizeof(float)));
  EXPECT_EQ(figures->rx_bytes, ByteCount(8 * kBlockElements * sizeof(float)));
  EXPECT_GE(figures->took, figures->idle);
}

// The words with which a member's sum ends.
std::string end_of(LaneSums& sums, std::uint64_t id, ErrorKind kind) {
  try {
    return sums.wait(SumId(id), kPatience) ? "done" : "not in time";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind);
    return error.what();
  }
}

class Failures : public testing::Test {
 protected:
  void order(std::uint32_t member, std::uint64_t id = 1) {
    company[member].order(round.order_of(member, id, residuals[member]));
  }

  ReducePlan plan = plan_of({0, 1, 2}, 6 * kBlockElements);
  std::vector<Residuals> residuals = residuals_of(plan);
  Round round{plan, 1};
  Company company{3};
};

TEST_F(Failures, AMemberThatIsLostWhileItIsMissedIsNamedAndSoIsWhy) {
  order(0);
  EXPECT_FALSE(company[0].wait(SumId(1), 20ms));
  company[0].lost(MemberIndex(2), "it was killed");
  EXPECT_THAT(end_of(company[0], 1, ErrorKind::unavailable),
              AllOf(HasSubstr("sum 1"), HasSubstr("peer-2"), HasSubstr("it was killed")));
  EXPECT_THAT(end_of(company[0], 1, ErrorKind::unavailable), HasSubstr("peer-2"));  // for good
  order(0, 2);
  EXPECT_THAT(end_of(company[0], 2, ErrorKind::unavailable), HasSubstr("sum 1"));
}

TEST_F(Failures, AMemberThatLeavesWhenItIsDoneIsNotMissed) {
  for (const std::uint32_t member : {0U, 1U, 2U}) order(member);
  EXPECT_EQ(end_of(company[2], 1, ErrorKind::internal), "done");
  company[0].lost(MemberIndex(2), "it said goodbye");
  company[1].lost(MemberIndex(2), "it said goodbye");
  EXPECT_EQ(end_of(company[0], 1, ErrorKind::internal), "done");
  EXPECT_EQ(end_of(company[1], 1, ErrorKind::internal), "done");
  order(0, 2);
  EXPECT_THAT(end_of(company[0], 2, ErrorKind::unavailable), HasSubstr("peer-2 is gone"));
}

TEST_F(Failures, WhoCannotBeSentToIsNamed) {
  company.cut_off(1);
  order(0);
  EXPECT_THAT(end_of(company[0], 1, ErrorKind::unavailable),
              HasSubstr("nothing can be sent to peer-1"));
}

TEST_F(Failures, ALaneThatIsNotFiniteEndsItsMembersSumAndNobodyElses) {
  round.lanes[1][7] = std::nanf("");
  order(1);
  EXPECT_THAT(end_of(company[1], 1, ErrorKind::corrupt),
              AllOf(HasSubstr("lane 1"), HasSubstr("peer-1")));
  order(0);
  EXPECT_FALSE(company[0].wait(SumId(1), 20ms));
}

TEST_F(Failures, WhatNoMemberSendsNamesWhoSentItAndItsCreditEnds) {
  order(0);
  const auto messages = reduce::part_messages(
      {.sum = SumId(1),
       .name = {.kind = reduce::PartKind::subtotal, .lanes = {1, 2}, .piece = 0},
       .bytes = wire::Buffer::copy_of(std::vector<std::byte>(12))});
  bool kept = true;
  company[0].arrived(MemberIndex(1), messages[0], {});
  company[0].arrived(MemberIndex(1), messages[1], net::Credit([&] { kept = false; }));
  EXPECT_THAT(end_of(company[0], 1, ErrorKind::corrupt),
              AllOf(HasSubstr("from peer-1"), HasSubstr("12 bytes")));
  EXPECT_FALSE(kept);
}

TEST_F(Failures, BytesWithoutANameNameWhoSentThem) {
  order(0);
  const auto messages = reduce::part_messages({.sum = SumId(1), .name = {}, .bytes = {}});
  company[0].arrived(MemberIndex(2), messages[1], {});
  EXPECT_THAT(end_of(company[0], 1, ErrorKind::corrupt), HasSubstr("from peer-2 bytes of a part"));
}

// What is still on its way of sums that were given up.
TEST_F(Failures, PartsOfEarlierSumsAreDropped) {
  for (const std::uint32_t member : {0U, 1U, 2U}) order(member, 8);
  for (const std::uint32_t member : {0U, 1U, 2U}) {
    EXPECT_EQ(end_of(company[member], 8, ErrorKind::internal), "done");
  }
  int ended = 0;
  for (const std::uint64_t id : {7U, 8U}) {
    for (const wire::Message& message :
         reduce::part_messages({.sum = SumId(id),
         .name = {.kind = reduce::PartKind::subtotal, .lanes = {1, 2}, .piece = 0},
         .bytes = {}})) {
      company[0].arrived(MemberIndex(1), message, net::Credit([&] { ++ended; }));
    }
  }
  for (const std::uint32_t member : {0U, 1U, 2U}) order(member, 9);
  EXPECT_EQ(end_of(company[0], 9, ErrorKind::internal), "done");
  EXPECT_EQ(ended, 4);
}

TEST_F(Failures, OrdersHaveGrowingNumbersAndResiduals) {
  order(0, 3);
  EXPECT_THROW(order(0, 3), Error);
  EXPECT_THROW(order(0, 2), Error);
  SumOrder without = round.order_of(0, 4, residuals[0]);
  without.residuals = nullptr;
  EXPECT_THROW(company[0].order(without), Error);
  order(0, 4);
}

// A plan that is none ends the sums, with words, not the process.
TEST_F(Failures, AnOrderThatCannotBeIsAnErrorOfTheSum) {
  SumOrder wrong = round.order_of(0, 1, residuals[0]);
  wrong.lanes.clear();
  company[0].order(std::move(wrong));
  EXPECT_THAT(end_of(company[0], 1, ErrorKind::internal), HasSubstr("gets 0 of 1 lanes"));
}

}  // namespace
}  // namespace ptrain::lanes
