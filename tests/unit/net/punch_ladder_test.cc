// One attempt to meet through NATs, on virtual time: what is tried when, how often, and when it
// ends.

#include "libcommon/net/punch_ladder.h"

#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/net/punch_pace.h"

namespace ptrain::net {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;
using Outcome = PunchLadder::Outcome;

const TimePoint kBegin = TimePoint{} + 10s;

PunchTarget target(const char* host) {
  PunchTarget target;
  target.at.host = host;
  target.at.port = 40000;
  return target;
}
PunchLadder two_rungs() { return {{target("192.168.1.9"), target("198.51.100.7")}, kBegin}; }

TEST(PunchLadder, AllRungsAreTriedAtOnceWhenBothSidesBegin) {
  PunchLadder ladder = two_rungs();
  EXPECT_EQ(ladder.next_tick(), kBegin);
  EXPECT_THAT(ladder.take_due(kBegin - 1ms), IsEmpty());
  EXPECT_THAT(ladder.take_due(kBegin), ElementsAre(0, 1));
  EXPECT_THAT(ladder.take_due(kBegin + 1s), IsEmpty()) << "the kernel repeats";
  EXPECT_EQ(ladder.next_tick(), kBegin + kPunchTime);
}

TEST(PunchLadder, WhoRefusesIsAskedAgainEverLaterAndNotForEver) {
  PunchLadder ladder = two_rungs();
  ladder.take_due(kBegin);
  TimePoint now = kBegin;
  for (int tries = 1; tries < kMostPunchTries; ++tries) {
    ladder.failed(1, Outcome::refused, "Connection refused", now);
    const TimePoint again = now + kFirstPunchRetry * (1 << (tries - 1));
    EXPECT_EQ(ladder.next_tick(), again);
    EXPECT_THAT(ladder.take_due(again - 1ns), IsEmpty());
    EXPECT_THAT(ladder.take_due(again), ElementsAre(1));
    now = again;
  }
  ladder.failed(1, Outcome::refused, "Connection refused", now);
  EXPECT_THAT(ladder.take_due(kBegin + kPunchTime - 1ns), IsEmpty());
  EXPECT_EQ(ladder.rungs()[1].tries, kMostPunchTries);
  EXPECT_EQ(ladder.rungs()[1].outcome, Outcome::refused);
}

TEST(PunchLadder, WhoIsSomebodyElseIsNotAskedAgain) {
  PunchLadder ladder = two_rungs();
  ladder.take_due(kBegin);
  ladder.failed(0, Outcome::stranger, "somebody else answers", kBegin + 5ms);
  EXPECT_THAT(ladder.take_due(kBegin + 3s), IsEmpty());
}

TEST(PunchLadder, WhatNobodyAnswersIsSilentAtTheEnd) {
  PunchLadder ladder = two_rungs();
  ladder.take_due(kBegin);
  EXPECT_FALSE(ladder.over(kBegin + kPunchTime - 1ns));
  EXPECT_TRUE(ladder.over(kBegin + kPunchTime));
  EXPECT_THAT(ladder.take_due(kBegin + kPunchTime), IsEmpty());
  EXPECT_EQ(ladder.rungs()[0].outcome, Outcome::silent);
  EXPECT_EQ(ladder.next_tick(), TimePoint::max());
}

TEST(PunchLadder, WhatIsChosenEndsTheOthers) {
  PunchLadder ladder = two_rungs();
  ladder.take_due(kBegin);
  ladder.connected(0);
  ladder.connected(1);
  ladder.chose(1, kBegin + 40ms);
  EXPECT_TRUE(ladder.over(kBegin + 40ms));
  EXPECT_EQ(ladder.rungs()[0].outcome, Outcome::passed);
  EXPECT_EQ(ladder.rungs()[1].outcome, Outcome::chosen);
  EXPECT_EQ(ladder.rungs()[1].decided_at, kBegin + 40ms);
  EXPECT_EQ(ladder.next_tick(), TimePoint::max());
}

TEST(PunchLadder, OfManyTargetsFewAreRungs) {
  PunchLadder ladder(std::vector<PunchTarget>(100, target("198.51.100.7")), kBegin);
  EXPECT_EQ(ladder.take_due(kBegin).size(), kMostPunchTargets);
}

TEST(PunchLadder, WithoutTargetsItWaitsForThePeerToCome) {
  PunchLadder ladder({}, kBegin);
  EXPECT_THAT(ladder.take_due(kBegin), IsEmpty());
  EXPECT_EQ(ladder.next_tick(), kBegin + kPunchTime);
}

// ---- When attempts may begin.

TEST(PunchPace, AttemptsAreFewHoweverOftenOneIsIntroduced) {
  PunchPace pace(kBegin);
  int begun = 0;
  for (TimePoint now = kBegin; now < kBegin + 1h; now += 1s) begun += pace.begin(now) ? 1 : 0;
  EXPECT_EQ(begun, kPunchBurst + static_cast<int>(1h / kPunchRefill) - 1);
}

TEST(PunchPace, WhatWorksMayBeTriedAgainAtOnce) {
  PunchPace pace(kBegin);
  for (int i = 0; i < kPunchBurst; ++i) EXPECT_TRUE(pace.begin(kBegin));
  EXPECT_FALSE(pace.begin(kBegin));
  pace.worked();
  EXPECT_TRUE(pace.begin(kBegin));
}

TEST(PunchPace, WhoFailsAsksEverMoreRarely) {
  PunchPace pace(kBegin);
  EXPECT_EQ(pace.next_tick(), TimePoint::max()) << "the first introduction comes by itself";
  TimePoint now = kBegin;
  Duration pause = kFirstPunchPause;
  for (int i = 0; i < 20; ++i) {
    pace.failed(now);
    EXPECT_EQ(pace.next_tick(), now + pause) << i;
    EXPECT_FALSE(pace.take_wish(now + pause - 1ns));
    now += pause;
    EXPECT_TRUE(pace.take_wish(now));
    EXPECT_FALSE(pace.take_wish(now)) << "once";
    pause = std::min<Duration>(2 * pause, kLastPunchPause);
  }
  EXPECT_EQ(pause, kLastPunchPause);
}

TEST(PunchPace, WhatIsLostIsAskedForAtOnceAndAfterItWorkedFromTheBeginning) {
  PunchPace pace(kBegin);
  for (int i = 0; i < 5; ++i) pace.failed(kBegin);
  pace.worked();
  EXPECT_FALSE(pace.take_wish(kBegin + 1h));
  pace.lost(kBegin);
  EXPECT_TRUE(pace.take_wish(kBegin));
  pace.failed(kBegin);
  EXPECT_EQ(pace.next_tick(), kBegin + kFirstPunchPause);
}

}  // namespace
}  // namespace ptrain::net
