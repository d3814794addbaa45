#include "libcommon/pipeline/simulator.h"

#include <string>

#include <gtest/gtest.h>

#include "libcommon/base/error.h"
#include "libcommon/job/job_keys.h"

namespace ptrain::pipeline {
namespace {

using job::PipelineSchedule;

PipelineCost equal_stages(std::size_t stages, const LinkCost& link = {}) {
  return {.stages = std::vector<StageCost>(stages, {.forward_s = 1, .backward_s = 2}),
          .links = std::vector<LinkCost>(stages - 1, link)};
}

Prediction predicted(const PipelineCost& cost, PipelineSchedule kind, std::uint32_t microbatches,
                     std::int64_t in_flight = 0) {
  return std::get<Prediction>(simulate(cost, kind, microbatches, in_flight));
}

// From "F0 F1 B0 B1", as papers draw it.
std::vector<Action> drawn(const std::string& text) {
  std::vector<Action> actions;
  for (std::size_t i = 0; i + 1 < text.size(); i += 3) {
    actions.push_back({text[i] == 'F' ? Op::forward : Op::backward,
                       MicrobatchIndex(static_cast<std::uint32_t>(text[i + 1] - '0'))});
  }
  return actions;
}

// Huang et al. 2019 (GPipe), section 2.3: (stages - 1) / (microbatches + stages - 1).
TEST(Simulator, FindsTheKnownBubbleOfEqualStagesInBothSchedules) {
  for (const std::uint32_t stages : {1u, 2u, 4u, 7u}) {
    for (const std::uint32_t microbatches : {1u, 2u, 4u, 8u, 32u}) {
      const double bubble = (stages - 1.0) / (microbatches + stages - 1.0);
      const PipelineCost cost = equal_stages(stages);
      EXPECT_NEAR(predicted(cost, PipelineSchedule::gpipe, microbatches).bubble_fraction, bubble,
                  1e-12);
      EXPECT_NEAR(predicted(cost, PipelineSchedule::one_f_one_b, microbatches).bubble_fraction,
                  bubble, 1e-12);
    }
  }
}

TEST(Simulator, CountsTheWorkAndTheMicrobatchesHeld) {
  const Prediction gpipe = predicted(equal_stages(3), PipelineSchedule::gpipe, 8);
  const Prediction alternating = predicted(equal_stages(3), PipelineSchedule::one_f_one_b, 8);
  EXPECT_EQ(gpipe.makespan_s, 30.0);
  for (std::size_t stage = 0; stage < 3; ++stage) {
    EXPECT_EQ(gpipe.stages[stage].busy_s, 24.0);
    EXPECT_EQ(gpipe.stages[stage].peak_in_flight, 8u);
    EXPECT_EQ(alternating.stages[stage].peak_in_flight, 3 - stage);
  }
}

TEST(Simulator, AddsTransferAndLatencyOfEachMessage) {
  const LinkCost link{
      .latency_s = 0.5, .bandwidth_bytes_per_s = 100, .forward_bytes = 25, .backward_bytes = 50};
  // Forward 1, transfer 0.25, latency 0.5, forward 1, backward 2, 0.5, 0.5, backward 2.
  EXPECT_DOUBLE_EQ(predicted(equal_stages(2, link), PipelineSchedule::one_f_one_b, 1).makespan_s,
                   7.75);
}

TEST(Simulator, SendsOneMessageAfterTheOtherOnALink) {
  // Four activations of 10 s each: the last arrives at 1 + 40; then the second stage's last
  // forward and its backwards, and the first stage's last backward.
  const LinkCost slow{.bandwidth_bytes_per_s = 1, .forward_bytes = 10};
  EXPECT_DOUBLE_EQ(predicted(equal_stages(2, slow), PipelineSchedule::gpipe, 4).makespan_s,
                   1 + 40 + 1 + 4 * 2 + 2);
}

TEST(Simulator, MoreDepthHidesLatency) {
  const PipelineCost cost = equal_stages(4, {.latency_s = 5});
  const double shallow = predicted(cost, PipelineSchedule::one_f_one_b, 64).makespan_s;
  const std::int64_t depth = in_flight_for_round_trip(cost);
  EXPECT_EQ(depth, 1 + 3 * (1 + 4));
  const double deep = predicted(cost, PipelineSchedule::one_f_one_b, 64, depth).makespan_s;
  EXPECT_GT(shallow, 1.5 * deep);
  // Filling and draining alone remain: one round trip more than the work of a stage.
  EXPECT_LE(deep, 64 * 3 + 4 * 3 + 2 * 3 * 5);
  EXPECT_NEAR(predicted(cost, PipelineSchedule::one_f_one_b, 64, 64).makespan_s, deep, 3.0);
}

TEST(Simulator, MoreDepthHidesTheLatencyOfAnySingleLink) {
  for (const std::size_t slow : {0u, 1u, 2u}) {
    PipelineCost cost = equal_stages(4);
    cost.links[slow].latency_s = 10;
    const std::int64_t depth = in_flight_for_round_trip(cost);
    const double deep = predicted(cost, PipelineSchedule::one_f_one_b, 64, depth).makespan_s;
    EXPECT_LE(deep, 64 * 3 + 4 * 3 + 20) << "link " << slow;
  }
}

TEST(Simulator, NoDepthDeadlocks) {
  for (std::uint32_t stages = 1; stages <= 8; ++stages) {
    const PipelineCost cost = equal_stages(stages, {.latency_s = 0.1});
    for (std::uint32_t microbatches = 1; microbatches <= 12; ++microbatches) {
      EXPECT_TRUE(std::holds_alternative<Prediction>(
          simulate(cost, PipelineSchedule::gpipe, microbatches, 0)));
      for (std::int64_t in_flight = 0; in_flight <= 14; ++in_flight) {
        EXPECT_TRUE(std::holds_alternative<Prediction>(
            simulate(cost, PipelineSchedule::one_f_one_b, microbatches, in_flight)))
            << stages << " stages, " << microbatches << " microbatches, " << in_flight;
      }
    }
  }
}

TEST(Simulator, TellsADeadlockAndWhoWaits) {
  // The second stage wants two forwards before its first backward; the first gives one.
  const auto outcome = simulate(equal_stages(2), {drawn("F0 B0 F1 B1"), drawn("F0 F1 B0 B1")});
  const auto* deadlock = std::get_if<Deadlock>(&outcome);
  ASSERT_NE(deadlock, nullptr);
  EXPECT_EQ(deadlock->stage, StageIndex(0));
  EXPECT_EQ(deadlock->waiting_for, (Action{Op::backward, MicrobatchIndex(0)}));
}

TEST(Simulator, ABackwardBeforeItsForwardNeverRuns) {
  EXPECT_TRUE(std::holds_alternative<Deadlock>(simulate(equal_stages(1), {drawn("B0 F0")})));
}

TEST(Simulator, RefusesWhatDoesNotFitTogether) {
  EXPECT_THROW(simulate(equal_stages(2), {drawn("F0 B0")}), Error);
  EXPECT_THROW(simulate(equal_stages(2), {drawn("F0 B0"), drawn("F0 B0 F1 B1")}), Error);
  EXPECT_THROW(simulate(equal_stages(1), {drawn("F3 B3")}), Error);
  EXPECT_THROW(simulate(PipelineCost{}, PipelineSchedule::gpipe, 1, 0), Error);
}

TEST(Simulator, NeighboursShareAnUplinkWhereTheHostHasOne) {
  const LinkCost slow{.bandwidth_bytes_per_s = 1, .forward_bytes = 10, .backward_bytes = 10};
  PipelineCost cost = equal_stages(3, slow);
  const double apart = predicted(cost, PipelineSchedule::one_f_one_b, 16, 16).makespan_s;
  const double alone = predicted(cost, PipelineSchedule::one_f_one_b, 1).makespan_s;
  cost.shared_uplinks = true;
  const double shared = predicted(cost, PipelineSchedule::one_f_one_b, 16, 16).makespan_s;
  EXPECT_LT(apart, 2 * 16 * 10);
  EXPECT_GE(shared, 2 * 16 * 10) << "the middle stage sends 16 activations and 16 gradients";
  EXPECT_DOUBLE_EQ(predicted(cost, PipelineSchedule::one_f_one_b, 1).makespan_s, alone);
}

TEST(Simulator, AHostsWayOutIsSharedByWhateverItSends) {
  // The links carry 10 bytes at once; the middle stage's way out needs 2 s for each message.
  const LinkCost fast{.bandwidth_bytes_per_s = 1e9, .forward_bytes = 10, .backward_bytes = 10};
  PipelineCost cost = equal_stages(3, fast);
  cost.stages[1].out_bytes_per_s = 5;
  const double shared = predicted(cost, PipelineSchedule::one_f_one_b, 32, 32).makespan_s;
  EXPECT_GE(shared, 2 * 32 * 2) << "32 activations and 32 gradients";
  cost.links[1].forward_bytes = 0;
  EXPECT_LT(predicted(cost, PipelineSchedule::one_f_one_b, 32, 32).makespan_s, 2 * 32 * 2);
}

TEST(Simulator, AHostsWayInIsSharedByWhateverItGets) {
  const LinkCost fast{.bandwidth_bytes_per_s = 1e9, .forward_bytes = 10, .backward_bytes = 10};
  PipelineCost cost = equal_stages(3, fast);
  cost.stages[1].in_bytes_per_s = 5;
  const double shared = predicted(cost, PipelineSchedule::one_f_one_b, 32, 32).makespan_s;
  EXPECT_GE(shared, 2 * 32 * 2) << "32 activations and 32 gradients";
  cost.links[0].forward_bytes = 0;
  EXPECT_LT(predicted(cost, PipelineSchedule::one_f_one_b, 32, 32).makespan_s, 2 * 32 * 2);
}

TEST(Simulator, TheSlowestOfWayOutLinkAndWayInSetsAMessagesPace) {
  // Alone: forward 1, then 10 bytes at 2 a second, latency 0.5, forward 1, backward 2, 10 bytes at
  // 4 a second, latency 0.5, backward 2.
  PipelineCost cost = equal_stages(2, {.latency_s = 0.5,
                                       .bandwidth_bytes_per_s = 8,
                                       .forward_bytes = 10,
                                       .backward_bytes = 10,
                                       .backward_bandwidth_bytes_per_s = 4});
  const double expected = 1 + 10 / 2.0 + 0.5 + 1 + 2 + 10 / 4.0 + 0.5 + 2;
  cost.stages[0].out_bytes_per_s = 2;
  EXPECT_DOUBLE_EQ(predicted(cost, PipelineSchedule::one_f_one_b, 1).makespan_s, expected);
  cost.stages[0].out_bytes_per_s = 8;
  cost.stages[1].in_bytes_per_s = 2;
  EXPECT_DOUBLE_EQ(predicted(cost, PipelineSchedule::one_f_one_b, 1).makespan_s, expected);
}

TEST(Simulator, ASlowLinkLeavesTheRestOfAWayOutToTheOtherNeighbour) {
  // The middle stage's gradients trickle over a slow link; its activations overtake them.
  PipelineCost cost = equal_stages(3);
  cost.links[0] = {.bandwidth_bytes_per_s = 1, .backward_bytes = 20};
  cost.links[1] = {.forward_bytes = 20};
  cost.stages[1].out_bytes_per_s = 20;
  // One gradient takes 20 s on its link, and 1 s of the way out.
  EXPECT_LT(predicted(cost, PipelineSchedule::one_f_one_b, 8, 8).makespan_s, 8 * 20 + 8 * 3 + 8);
}

TEST(InFlight, OfSlowTransfersCannotExceedWhatTheLinkCarries) {
  // A link that carries a microbatch in 6 s each way sets the pace of stages that take 3.
  const LinkCost slow{.bandwidth_bytes_per_s = 1, .forward_bytes = 6, .backward_bytes = 6};
  const PipelineCost cost = equal_stages(2, slow);
  EXPECT_EQ(in_flight_for_round_trip(cost), 1 + 1 * (1 + 2));
  const double deep = predicted(cost, PipelineSchedule::one_f_one_b, 32, 4).makespan_s;
  EXPECT_LE(deep, 32 * 6 + 2 * 3 + 6 + 3);
  EXPECT_EQ(predicted(cost, PipelineSchedule::one_f_one_b, 32, 32).makespan_s, deep);
}

TEST(InFlight, HasALimit) {
  EXPECT_EQ(in_flight_for_round_trip(equal_stages(2, {.latency_s = 1e30})), job::kMaxInFlight);
  EXPECT_EQ(
      in_flight_for_round_trip(equal_stages(2, {.latency_s = 3 * (job::kMaxInFlight - 2) / 2.0})),
      job::kMaxInFlight);
  EXPECT_EQ(
      in_flight_for_round_trip(equal_stages(2, {.latency_s = 3 * (job::kMaxInFlight - 3) / 2.0})),
      job::kMaxInFlight - 1);
}

TEST(InFlight, IsTheNumberOfEqualStagesWhenLinksCostNothing) {
  for (const std::size_t stages : {1u, 2u, 3u, 5u, 7u}) {
    PipelineCost cost = equal_stages(stages);
    for (StageCost& stage : cost.stages) stage = {.forward_s = 0.1, .backward_s = 0.2};
    EXPECT_EQ(in_flight_for_round_trip(cost), static_cast<std::int64_t>(stages));
  }
  EXPECT_EQ(in_flight_for_round_trip({.stages = {{}, {}}, .links = {{}}}), 2);
}

}  // namespace
}  // namespace ptrain::pipeline
