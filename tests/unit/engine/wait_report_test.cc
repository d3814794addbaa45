#include "tools/stage/engine/wait_report.h"

#include <string>
#include <vector>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/os/file_descriptor.h"

namespace ptrain::stage {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class Lines final : public Log {
 public:
  void info(std::string_view line) override { lines.emplace_back(line); }
  void warning(std::string_view line) override { lines.emplace_back(line); }
  std::vector<std::string> lines;
};

class WaitReportTest : public testing::Test {
 protected:
  net::LostLink lost_since(Duration since) {
    return {.stage = StageIndex(1),
            .called = "stage 1",
            .path = "tcp://10.0.0.2:7001",
            .since = TimePoint(since),
            .ends = TimePoint(since + seconds(300))};
  }

  void at(Duration time) { clock_.advance(TimePoint(time) - clock_.now()); }

  FakeClock clock_;
  Lines said_;
  os::FileDescriptor nowhere_{::open("/dev/null", O_WRONLY | O_CLOEXEC)};
  WaitReport report_{Drawing::on_terminals, said_, clock_, nowhere_.get()};
};

TEST_F(WaitReportTest, StagesThatHaveNotAppearedAreNamedInIntervalsThatDouble) {
  for (int s = 0; s < 60; ++s) {
    at(seconds(s));
    report_.absent("stage 1 at tcp://10.0.0.2:7001 (no answer)", TimePoint(),
                   TimePoint(seconds(60)));
  }
  const auto line = [](int waited) {
    return "waiting for other stages for " + std::to_string(waited) + " s, gives up in " +
           std::to_string(60 - waited) + " s: stage 1 at tcp://10.0.0.2:7001 (no answer)";
  };
  EXPECT_THAT(said_.lines, ElementsAre(line(1), line(5), line(10), line(20), line(40)));
}

TEST_F(WaitReportTest, OnlyAWaitThatIsLongerThanUsualIsWorthAWord) {
  const std::string what = "gradient of step 12, microbatch 3, from stage 1";
  at(seconds(9));
  report_.waiting(what, TimePoint());
  report_.over(TimePoint());
  EXPECT_THAT(said_.lines, IsEmpty());
  at(seconds(26));
  report_.waiting(what, TimePoint(seconds(9)));  // 17 s: the longest was 9 s
  EXPECT_THAT(said_.lines, IsEmpty());
  at(seconds(27));
  report_.waiting(what, TimePoint(seconds(9)));
  EXPECT_THAT(said_.lines, ElementsAre("waiting for 18 s for " + what));
  report_.over(TimePoint(seconds(9)));
  at(seconds(27 + 35));
  report_.waiting(what, TimePoint(seconds(27)));
  EXPECT_EQ(said_.lines.size(), 1U);
}

TEST_F(WaitReportTest, ALinkThatIsLostIsNamedUntilItIsBack) {
  at(seconds(100));
  report_.lost_links({lost_since(seconds(100))});
  EXPECT_THAT(said_.lines, IsEmpty());  // that happens, and is over in a moment
  EXPECT_TRUE(report_.link_is_lost());
  for (const int s : {101, 112, 113}) {
    at(seconds(s));
    report_.lost_links({lost_since(seconds(100))});
    report_.waiting("gradient of step 12, microbatch 3, from stage 1", TimePoint());
  }
  at(seconds(114));
  report_.lost_links({});
  EXPECT_FALSE(report_.link_is_lost());
  EXPECT_THAT(
      said_.lines,
      ElementsAre(
          "link lost to stage 1 (tcp://10.0.0.2:7001), trying again since 1 s, gives up in 299 s",
          "link lost to stage 1 (tcp://10.0.0.2:7001), trying again since 12 s, gives up in 288 s",
          "the link to stage 1 is back after 14 s"));
}

TEST_F(WaitReportTest, ALinkThatIsGivenUpIsNotBack) {
  at(seconds(10));
  report_.lost_links({lost_since(seconds(0))});
  ASSERT_EQ(said_.lines.size(), 1U);
  net::LostLink gone = lost_since(seconds(0));
  gone.given_up = true;
  report_.lost_links({gone});
  EXPECT_EQ(said_.lines.size(), 1U);
}

TEST_F(WaitReportTest, AnOutageMakesNoWaitUsual) {
  at(seconds(100));
  report_.lost_links({lost_since(seconds(50))});
  report_.lost_links({});
  report_.over(TimePoint());
  said_.lines.clear();
  at(seconds(111));
  report_.waiting("step report of step 1 from stage 1", TimePoint(seconds(100)));
  EXPECT_THAT(said_.lines, ElementsAre("waiting for 11 s for step report of step 1 from stage 1"));
}

}  // namespace
}  // namespace ptrain::stage
