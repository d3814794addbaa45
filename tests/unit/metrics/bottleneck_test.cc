#include "libcommon/metrics/bottleneck.h"

#include <gtest/gtest.h>

namespace ptrain::metrics {
namespace {

using wire::StageTime;

constexpr std::uint64_t kSteps = 100;
constexpr HalvableWire kBoth{.forward = true, .backward = true};

std::string said(const std::vector<StageTime>& stages, const HalvableWire& wire = kBoth,
                 std::uint64_t steps = kSteps) {
  return bottleneck(steps, stages, wire).value_or("");
}

// A hundred seconds of three stages that compute alike and wait for nobody in particular.
std::vector<StageTime> even() {
  return std::vector<StageTime>(3, {.step_s = 100, .compute_s = 60});
}

std::vector<StageTime> slow_link(double busy_s, double wait_s) {
  auto stages = even();
  for (StageTime& each : stages) each.compute_s = 20;
  stages[1].to_next = {.busy_s = busy_s, .bytes = 63'000'000};
  stages[2].wait_previous_s = wait_s;
  return stages;
}

TEST(Bottleneck, IsTheLinkThatOneStageSendsOverAndTheOtherWaitsFor) {
  EXPECT_EQ(said(slow_link(63, 70)),
            "63 % of the step is the link from stage 1 to stage 2, 8.0 Mbit/s; a codec of half the "
            "bytes would give up to 1.4x");
  EXPECT_EQ(said(slow_link(63, 70), {.backward = true}),
            "63 % of the step is the link from stage 1 to stage 2, 8.0 Mbit/s");
}

TEST(Bottleneck, MayBeTheWayBack) {
  auto stages = even();
  stages[1].to_previous = {.busy_s = 50, .bytes = 250'000'000};
  stages[0].wait_next_s = 40;
  EXPECT_EQ(said(stages),
            "40 % of the step is the link from stage 1 to stage 0, 40 Mbit/s; a codec of half the "
            "bytes would give up to 1.2x");
}

TEST(Bottleneck, IsNoLinkThatNobodyWaitsForNorAWaitWithoutALinkThatIsBusy) {
  EXPECT_EQ(said(slow_link(90, 10)), "");
  EXPECT_EQ(said(slow_link(10, 90)), "") << "it waits for the other stage's computing";
}

TEST(Bottleneck, IsNoLinkWithinAMachine) {
  auto stages = slow_link(63, 70);
  stages[1].to_next.bytes = 63'000'000'000;
  EXPECT_EQ(said(stages), "");
}

TEST(Bottleneck, IsTheStageThatComputesForLongerThanTheOthers) {
  auto stages = even();
  EXPECT_EQ(said(stages), "");
  stages[2].compute_s = 84;
  EXPECT_EQ(said(stages), "stage 2 computes 1.4 times as long as the others");
  stages.erase(stages.begin());
  EXPECT_EQ(said(stages), "stage 1 computes 1.4 times as long as the other");
  stages[1].compute_s = 70;
  EXPECT_EQ(said(stages), "") << "a sixth could be luck";
}

TEST(Bottleneck, OfAStageThatWaitsItselfIsNotItsComputing) {
  auto stages = even();
  for (StageTime& each : stages) each.compute_s = 10;
  stages[2].compute_s = 30;
  EXPECT_EQ(said(stages), "");
}

TEST(Bottleneck, IsWhatCostsMoreOfTheTwo) {
  auto stages = slow_link(30, 30);
  stages[0].compute_s = 95;
  EXPECT_EQ(said(stages), "stage 0 computes 4.8 times as long as the others");
  stages = slow_link(90, 90);
  stages[0].compute_s = 60;
  EXPECT_EQ(said(stages).substr(0, 24), "90 % of the step is the ");
}

TEST(Bottleneck, NeedsStepsAndTheFiguresOfAllStages) {
  EXPECT_NE(said(slow_link(63, 70), kBoth, kFewestSteps), "");
  EXPECT_EQ(said(slow_link(63, 70), kBoth, kFewestSteps - 1), "");
  auto silent = slow_link(63, 70);
  silent[0] = {};
  EXPECT_EQ(said(silent), "") << "an earlier release says none";
  EXPECT_EQ(said({{.step_s = 100, .compute_s = 99}}), "");
  EXPECT_EQ(said({}), "");
}

}  // namespace
}  // namespace ptrain::metrics
