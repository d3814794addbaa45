#include "libcommon/net/link_watch.h"

#include <gtest/gtest.h>

namespace ptrain::net {
namespace {

using namespace std::chrono_literals;

constexpr Patience kPatience{.shortest = 1s, .longest = 10s};

struct Watched : testing::Test {
  TimePoint now{};
  LinkWatch watch{kPatience, now};

  void deliver_data(Duration after) {
    watch.data_sent(now);
    now += after;
    watch.data_arrived(now, false);
  }
  void answer_a_ping(Duration after) {
    const std::uint64_t number = watch.ping_sent(now);
    now += after;
    watch.ping_answered(number, now, false);
  }
};

TEST_F(Watched, APathThatIsAskedNothingNeverStalls) {
  EXPECT_EQ(watch.stalls_at(), TimePoint::max());
  answer_a_ping(10ms);
  EXPECT_EQ(watch.stalls_at(), TimePoint::max());
}

TEST_F(Watched, AFastPathHasTheShortestPatience) {
  deliver_data(10ms);
  watch.data_sent(now);
  EXPECT_FALSE(watch.stalled(now + kPatience.shortest - 1ns));
  EXPECT_TRUE(watch.stalled(now + kPatience.shortest));
}

TEST_F(Watched, ASlowPathHasAMultipleOfItsOwnGap) {
  deliver_data(2s);
  watch.data_sent(now);
  EXPECT_FALSE(watch.stalled(now + kStallMeans * 2s - 1ns));
  EXPECT_TRUE(watch.stalled(now + kStallMeans * 2s));
}

TEST_F(Watched, NoPathHasMoreThanTheLongestPatience) {
  deliver_data(9s);
  watch.data_sent(now);
  EXPECT_FALSE(watch.stalled(now + kPatience.longest - 1ns, 1h));
  EXPECT_TRUE(watch.stalled(now + kPatience.longest, 1h));
}

TEST_F(Watched, AnUnknownPathHasTwiceTheShortest) {
  watch.data_sent(now);
  EXPECT_FALSE(watch.stalled(now + kUnknownFactor * kPatience.shortest - 1ns));
  EXPECT_TRUE(watch.stalled(now + kUnknownFactor * kPatience.shortest));
}

TEST_F(Watched, ALongQueueThatMovesIsNoStall) {
  watch.data_sent(now);
  for (int i = 0; i < 100; ++i) {
    now += 900ms;
    EXPECT_FALSE(watch.stalled(now));
    watch.data_arrived(now, true);
  }
}

TEST_F(Watched, ASingleLateAnswerChangesLittle) {
  for (int i = 0; i < 10; ++i) deliver_data(10ms);
  deliver_data(600ms);
  watch.data_sent(now);
  EXPECT_TRUE(watch.stalled(now + kPatience.shortest));
}

TEST_F(Watched, QuickPingsDoNotShortenThePatienceWithLargeFrames) {
  for (int i = 0; i < 5; ++i) deliver_data(2s);
  for (int i = 0; i < 100; ++i) answer_a_ping(10ms);
  watch.data_sent(now);
  EXPECT_FALSE(watch.stalled(now + 3s));
}

TEST_F(Watched, ALongSilenceIsDoubtfulBeforeItIsAStall) {
  EXPECT_EQ(watch.doubtful_at(), TimePoint::max());
  watch.data_sent(now);
  EXPECT_EQ(watch.doubtful_at(), now + kPatience.shortest / 2);
}

TEST_F(Watched, APathIsProvenByAnswersAndByTime) {
  for (int i = 0; i < kTrialAnswers - 1; ++i) answer_a_ping(400ms);
  now += 300ms;
  EXPECT_FALSE(watch.proven(now, 1s)) << "an answer is missing";
  answer_a_ping(0ms);
  EXPECT_FALSE(watch.proven(now, now - TimePoint{} + 1ns)) << "time is missing";
  EXPECT_TRUE(watch.proven(now, now - TimePoint{}));
}

TEST_F(Watched, AfterAStallItProvesItselfAnew) {
  for (int i = 0; i < kTrialAnswers; ++i) answer_a_ping(400ms);
  ASSERT_TRUE(watch.proven(now, 1s));
  answer_a_ping(5s);
  EXPECT_FALSE(watch.stalled(now));
  EXPECT_FALSE(watch.proven(now, 1s));
}

TEST_F(Watched, AnAnswerToNothingIsIgnored) {
  watch.ping_answered(1, now, false);
  EXPECT_EQ(watch.answers(), 0);
  const std::uint64_t number = watch.ping_sent(now);
  watch.ping_answered(number, now, false);
  watch.ping_answered(number, now, false);
  EXPECT_EQ(watch.answers(), 1);
}

TEST_F(Watched, TheRoundTripIsTakenFromTheOldestUnansweredPing) {
  watch.ping_sent(now);
  now += 30ms;
  const std::uint64_t second = watch.ping_sent(now);
  now += 10ms;
  watch.ping_answered(second, now, false);
  EXPECT_EQ(watch.round_trip(), 40ms);
}

TEST_F(Watched, ARelievedPathOwesOnlyItsPings) {
  watch.data_sent(now);
  watch.relieve();
  EXPECT_EQ(watch.stalls_at(), TimePoint::max());
  watch.ping_sent(now);
  watch.relieve();
  EXPECT_NE(watch.stalls_at(), TimePoint::max());
}

}  // namespace
}  // namespace ptrain::net
