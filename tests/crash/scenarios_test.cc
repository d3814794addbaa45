// Every operation of the tables, stopped everywhere.

#include "tests/crash/scenarios.h"

#include <cstdio>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ptrain::crash {
namespace {

using ::testing::IsEmpty;

constexpr std::size_t kStride = PTRAIN_CRASH_STRIDE;  // more than 1 with sanitizers, for time

std::vector<Scenario> all_scenarios() {
  std::vector<Scenario> all;
  for (const auto& table : {save_scenarios(), removal_scenarios(), tool_scenarios(),
                            hugging_face_scenarios(), fetch_scenarios()}) {
    all.insert(all.end(), table.begin(), table.end());
  }
  return all;
}

class Everywhere : public ::testing::TestWithParam<Scenario> {
 protected:
  static void expect_nothing_broken(const Findings& findings) {
    fmt::print("{} states after {} interruptions\n", findings.states, findings.moments);
    EXPECT_THAT(findings.violations, IsEmpty());
    EXPECT_GT(findings.states, findings.moments / 4) << "the disk hardly changed";
  }
};

TEST_P(Everywhere, ACrashLosesNothingThatWasPromised) {
  expect_nothing_broken(crash_everywhere(GetParam(), kStride));
}

TEST_P(Everywhere, AFailingDiskLosesNothingThatWasPromised) {
  expect_nothing_broken(fail_everywhere(GetParam(), kStride));
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, Everywhere, ::testing::ValuesIn(all_scenarios()),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace

// What the test's name shows instead of the functions' bytes.
void PrintTo(const Scenario& scenario, std::ostream* out) { *out << scenario.name; }

}  // namespace ptrain::crash
