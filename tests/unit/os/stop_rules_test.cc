#include "libcommon/os/stop_rules.h"

#include <gtest/gtest.h>

namespace ptrain::os {
namespace {

using std::chrono::milliseconds;

// A time of the test, counted from one that no signal came at.
Duration at(int ms) { return std::chrono::hours(1) + milliseconds(ms); }

TEST(StopRules, TheFirstSignalOfAnyKindBeginsTheStop) {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    StopRules rules;
    EXPECT_EQ(rules.first(), 0);
    EXPECT_EQ(rules.hear(number, at(0)), StopAnswer::begin);
    EXPECT_EQ(rules.first(), number);
  }
}

TEST(StopRules, SigtermAndSighupNeverHasten) {
  for (const int first : {SIGINT, SIGTERM, SIGHUP}) {
    for (const int second : {SIGTERM, SIGHUP}) {
      StopRules rules;
      rules.hear(first, at(0));
      for (const int ms : {1, 999, 1000, 5000}) {
        EXPECT_EQ(rules.hear(second, at(ms)), StopAnswer::nothing) << first << " " << second;
      }
      EXPECT_EQ(rules.first(), first);
    }
  }
}

TEST(StopRules, ASecondInterruptLeavesOnlyASecondLater) {
  StopRules rules;
  EXPECT_EQ(rules.hear(SIGINT, at(0)), StopAnswer::begin);
  EXPECT_EQ(rules.hear(SIGINT, at(1)), StopAnswer::nothing);
  EXPECT_EQ(rules.hear(SIGINT, at(999)), StopAnswer::nothing);
  EXPECT_EQ(rules.hear(SIGINT, at(1000)), StopAnswer::leave_now);
}

TEST(StopRules, AnInterruptAfterAnotherSignalIsTheFirstInterrupt) {
  StopRules rules;
  EXPECT_EQ(rules.hear(SIGTERM, at(0)), StopAnswer::begin);
  EXPECT_EQ(rules.hear(SIGINT, at(3000)), StopAnswer::nothing);
  EXPECT_EQ(rules.hear(SIGINT, at(3999)), StopAnswer::nothing);
  EXPECT_EQ(rules.hear(SIGINT, at(4000)), StopAnswer::leave_now);
  EXPECT_EQ(rules.first(), SIGTERM);
}

TEST(StopRules, AfterAResetNothingHasCome) {
  StopRules rules;
  rules.hear(SIGINT, at(0));
  rules.reset();
  EXPECT_EQ(rules.first(), 0);
  EXPECT_EQ(rules.hear(SIGINT, at(5000)), StopAnswer::begin);
  EXPECT_EQ(rules.hear(SIGINT, at(5500)), StopAnswer::nothing);
}

}  // namespace
}  // namespace ptrain::os
