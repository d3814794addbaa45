#include "libcommon/ckpt/retention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/ckpt/sample_checkpoint.h"

namespace ptrain::ckpt {
namespace {

using std::chrono::system_clock;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const system_clock::time_point kNow{std::chrono::hours(1'000'000)};
const auto kLongAgo = kNow - std::chrono::hours(1000);

StepInfo complete(std::uint64_t step) {
  StepInfo info;
  info.step = Step(step);
  info.state = StepState::complete;
  info.manifest = Manifest();
  info.held = {StageIndex(0)};
  info.modified = kLongAgo;
  return info;
}

StepInfo unfinished(std::uint64_t step, system_clock::time_point modified) {
  StepInfo info;
  info.step = Step(step);
  info.reason = "no manifest.json";
  info.modified = modified;
  return info;
}

StepInfo corrupt(std::uint64_t step) {
  StepInfo info = complete(step);
  info.state = StepState::corrupt;
  info.reason = "a file is short";
  return info;
}

// One stage of several, as each host of a run has it.
StepInfo share(std::uint64_t step) {
  StepInfo info = complete(step);
  info.state = StepState::partial;
  return info;
}

std::vector<std::uint64_t> removed(const std::vector<StepInfo>& steps, std::uint64_t verified,
                                   const RetentionPolicy& policy) {
  std::vector<std::uint64_t> gone;
  for (const Retention& each : plan_retention(steps, Step(verified), policy, kNow)) {
    if (!each.keep) gone.push_back(each.step.value());
    EXPECT_FALSE(each.reason.empty());
  }
  return gone;
}

TEST(PlanRetention, KeepsTheNewestAndTheMultiples) {
  std::vector<StepInfo> steps;
  for (std::uint64_t step = 100; step <= 1000; step += 100) steps.push_back(complete(step));
  EXPECT_THAT(removed(steps, 1000, {.keep_last = 2, .keep_every = 500}),
              ElementsAre(100, 200, 300, 400, 600, 700, 800));
  EXPECT_THAT(removed(steps, 1000, {.keep_last = 1}),
              ElementsAre(100, 200, 300, 400, 500, 600, 700, 800, 900));
  EXPECT_THAT(removed(steps, 1000, {.keep_last = 10}), IsEmpty());
  EXPECT_THAT(removed(steps, 1000, {.keep_last = 9}), ElementsAre(100));
}

TEST(PlanRetention, NeverTakesTheVerifiedOneNorAnythingNewer) {
  const std::vector<StepInfo> steps{complete(1), complete(2), complete(3), complete(4)};
  EXPECT_THAT(removed(steps, 2, {.keep_last = 1}), ElementsAre(1));
}

TEST(PlanRetention, OnlyWhatCanBeUsedCountsAmongTheNewest) {
  const std::vector<StepInfo> steps{complete(1), complete(2), corrupt(3), unfinished(4, kLongAgo),
                                    complete(5)};
  EXPECT_THAT(removed(steps, 5, {.keep_last = 2}), ElementsAre(1, 3, 4));
  EXPECT_THAT(removed(steps, 5, {.keep_last = 2, .keep_every = 3}), ElementsAre(1, 3, 4));
}

TEST(PlanRetention, KeepsWhatMayStillBeBeingWritten) {
  const auto just_in_time = kNow - kSaveMayLast + std::chrono::seconds(1);
  const auto too_long_ago = kNow - kSaveMayLast;
  EXPECT_THAT(removed({unfinished(1, just_in_time), complete(2)}, 2, {}), IsEmpty());
  EXPECT_THAT(removed({unfinished(1, too_long_ago), complete(2)}, 2, {}), ElementsAre(1));
  EXPECT_THAT(removed({complete(2), unfinished(3, kLongAgo)}, 2, {}), IsEmpty());
}

TEST(PlanRetention, AHostsOwnShareIsACheckpoint) {
  EXPECT_THAT(removed({share(1), share(2), share(3)}, 3, {.keep_last = 2}), ElementsAre(1));
}

TEST(PlanRetention, SaysWhyAStepGoesOrStays) {
  const auto plan = plan_retention(
      std::vector<StepInfo>{corrupt(1), complete(2), complete(3), complete(4), corrupt(5)}, Step(4),
      {.keep_last = 2}, kNow);
  EXPECT_EQ(plan[0].reason, "a file is short");
  EXPECT_EQ(plan[1].reason, "no rule keeps it");
  EXPECT_EQ(plan[2].reason, "one of the newest 2");
  EXPECT_THAT(plan[3].reason, HasSubstr("verified"));
  EXPECT_THAT(plan[4].reason, HasSubstr("newer"));
}

TEST(NewestVerified, PassesOverWhatDoesNotVerify) {
  const std::vector<StepInfo> steps{complete(1), complete(2), corrupt(3), complete(4)};
  std::vector<std::uint64_t> asked;
  const auto sound_up_to = [&](std::uint64_t last) {
    asked.clear();
    return newest_verified(steps, [&, last](const StepInfo& info) {
      asked.push_back(info.step.value());
      return info.step.value() <= last;
    });
  };
  EXPECT_EQ(sound_up_to(4), Step(4));
  EXPECT_THAT(asked, ElementsAre(4));
  EXPECT_EQ(sound_up_to(3), Step(2));
  EXPECT_THAT(asked, ElementsAre(4, 2));
  EXPECT_EQ(sound_up_to(0), std::nullopt);
}

}  // namespace
}  // namespace ptrain::ckpt
