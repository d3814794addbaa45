// Whom a keeper asks what, and when, on a clock that the test moves.

#include "tools/punch/mapping_keeper.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/punch/addresses.h"

namespace ptrain::punch {
namespace {

using std::chrono::seconds;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using State = MappingKeeper::State;

constexpr seconds kLease{600};

Ask look(SourceNumber source) { return {source, Look{}}; }
Ask map(SourceNumber source, const Port& port, std::optional<Outside> wish = {}) {
  return {source, Map{.port = port, .lifetime = kLease, .wish = wish}};
}
Ask unmap(SourceNumber source, const Port& port, std::optional<std::uint16_t> outside = {}) {
  return {source, Unmap{.port = port, .outside_port = outside}};
}

class MappingKeeperTest : public testing::Test {
 protected:
  FakeClock clock;
  MappingKeeper keeper{{kTcp}, kLease};
  const Outside at{kWorld, 40000};

  void begin(std::vector<std::string> sources) { keeper.begin(std::move(sources), clock.now()); }
  void alive(SourceNumber source, Alive what = {}) {
    keeper.take({.source = source, .what = what}, clock.now());
  }
  void silent(SourceNumber source) {
    keeper.take({.source = source, .what = Silent{}}, clock.now());
  }
  void granted(SourceNumber source, const Port& port, const Outside& outside,
               seconds lifetime = kLease, std::optional<std::uint32_t> epoch = {}) {
    keeper.take({.source = source, .port = port, .what = Granted{outside, lifetime, epoch}},
                clock.now());
  }
  void refused(SourceNumber source, const Port& port, const std::string& why) {
    keeper.take({.source = source, .port = port, .what = Refused{why}}, clock.now());
  }
  void unanswered(SourceNumber source, const Port& port) {
    keeper.take({.source = source, .port = port, .what = Silent{}}, clock.now());
  }
  // To the next time at which it wants to be called.
  void go_on() {
    ASSERT_NE(keeper.next(), TimePoint::max());
    clock.advance(std::max(Duration::zero(), keeper.next() - clock.now()));
    keeper.tick(clock.now());
  }
  // Until it asks that.
  void until_asked(const Ask& ask) {
    for (int i = 0; i < 100; ++i) {
      go_on();
      for (const Ask& each : keeper.take_asks()) {
        if (each == ask) return;
      }
    }
    FAIL() << "it was never asked";
  }
  // One source that has granted the one port.
  void hold(std::optional<std::uint32_t> epoch = {}) {
    begin({"one"});
    alive(0);
    granted(0, kTcp, at, kLease, epoch);
    keeper.take_asks();
    ASSERT_EQ(keeper.state(), State::holding);
  }
};

TEST_F(MappingKeeperTest, TheFirstThatIsThereIsAsked) {
  begin({"one", "two", "three"});
  EXPECT_THAT(keeper.take_asks(), ElementsAre(look(0), look(1), look(2)));
  alive(1);
  EXPECT_THAT(keeper.take_asks(), IsEmpty());  // the one before it has its head start
  silent(0);
  EXPECT_THAT(keeper.take_asks(), ElementsAre(map(1, kTcp)));
  EXPECT_THAT(keeper.outside(), IsEmpty());
  granted(1, kTcp, at);
  EXPECT_EQ(keeper.state(), State::holding);
  EXPECT_THAT(keeper.outside(), ElementsAre(testing::Pair(kTcp, at)));
  EXPECT_EQ(keeper.source(), 1u);
}

TEST_F(MappingKeeperTest, AHeadStartEnds) {
  begin({"one", "two"});
  alive(1);
  keeper.take_asks();
  EXPECT_EQ(keeper.next(), clock.now() + kHeadStart);
  go_on();
  EXPECT_THAT(keeper.take_asks(), ElementsAre(map(1, kTcp)));
}

TEST_F(MappingKeeperTest, WhereNobodyIsThereYetItWaitsForAnswersAlone) {
  begin({"one"});
  go_on();
  EXPECT_EQ(keeper.state(), State::looking);
  EXPECT_EQ(keeper.next(), TimePoint::max());
}

TEST_F(MappingKeeperTest, ARefusalIsTheNextOnesTurn) {
  begin({"one", "two"});
  alive(0);
  alive(1);
  keeper.take_asks();
  refused(0, kTcp, "NOT_AUTHORIZED (2)");
  EXPECT_THAT(keeper.take_asks(), Contains(map(1, kTcp)));
  refused(1, kTcp, "Out of resources (4)");
  EXPECT_EQ(keeper.state(), State::failed);
  EXPECT_THAT(keeper.reasons(), ElementsAre("one: tcp 7100: NOT_AUTHORIZED (2)",
                                            "two: tcp 7100: Out of resources (4)"));
}

TEST_F(MappingKeeperTest, AllPortsAreHeldAtOneSourceOrNone) {
  keeper = MappingKeeper({kTcp, kUdp}, kLease);
  begin({"one", "two"});
  alive(0);
  alive(1);
  EXPECT_THAT(keeper.take_asks(), testing::IsSupersetOf({map(0, kTcp), map(0, kUdp)}));
  granted(0, kTcp, at);
  EXPECT_THAT(keeper.outside(), IsEmpty());
  refused(0, kUdp, "no");
  EXPECT_THAT(keeper.take_asks(),
              ElementsAre(unmap(0, kTcp, at.port), map(1, kTcp, at), map(1, kUdp)));
  granted(1, kTcp, at);
  EXPECT_THAT(keeper.outside(), IsEmpty());
  granted(1, kUdp, {kWorld, 7101});
  EXPECT_THAT(keeper.outside(), SizeIs(2));
}

TEST_F(MappingKeeperTest, WithoutASourceItFailsAndLooksAgainLater) {
  begin({});
  EXPECT_EQ(keeper.state(), State::failed);
  EXPECT_EQ(keeper.next(), clock.now() + kFirstPause);
}

TEST_F(MappingKeeperTest, PausesBetweenSearchesGrowToALimit) {
  begin({"one"});
  keeper.take_asks();
  Duration before{};
  for (int i = 0; i < 10; ++i) {
    silent(0);
    ASSERT_EQ(keeper.state(), State::failed);
    const Duration pause = keeper.next() - clock.now();
    EXPECT_GE(pause, before);
    before = pause;
    go_on();
    EXPECT_THAT(keeper.take_asks(), ElementsAre(look(0)));
  }
  EXPECT_EQ(before, kLongestPause);
}

TEST_F(MappingKeeperTest, AnAddressThatIsNotOfTheInternetIsWorthless) {
  for (const char* inner : {"100.64.0.1", "100.127.255.254", "10.1.2.3", "192.168.7.7"}) {
    begin({"one"});
    alive(0);
    keeper.take_asks();
    granted(0, kTcp, {address(inner), 7100});
    EXPECT_EQ(keeper.state(), State::failed) << inner;
    EXPECT_THAT(keeper.take_asks(), ElementsAre(unmap(0, kTcp, 7100)));
    EXPECT_THAT(keeper.reasons(), ElementsAre(HasSubstr(inner)));
    EXPECT_THAT(keeper.cure(), HasSubstr("relay"));
  }
  for (const char* outer : {"100.63.255.255", "100.128.0.1", "8.8.8.8"}) {
    begin({"one"});
    alive(0);
    keeper.take_asks();
    granted(0, kTcp, {address(outer), 7100});
    EXPECT_EQ(keeper.state(), State::holding) << outer;
  }
}

TEST_F(MappingKeeperTest, ALeaseIsRenewedAtItsHalf) {
  hold();
  const TimePoint held = clock.now();
  until_asked(map(0, kTcp, at));
  EXPECT_EQ(clock.now() - held, kLease / 2);
  granted(0, kTcp, at);
  const TimePoint renewed = clock.now();
  until_asked(map(0, kTcp, at));
  EXPECT_EQ(clock.now() - renewed, kLease / 2);
}

TEST_F(MappingKeeperTest, AShorterLeaseThanAskedForIsRenewedAtItsHalf) {
  begin({"one"});
  alive(0);
  granted(0, kTcp, at, seconds(120));
  keeper.take_asks();
  EXPECT_EQ(keeper.shortest_lease(), seconds(120));
  const TimePoint held = clock.now();
  until_asked(map(0, kTcp, at));
  EXPECT_EQ(clock.now() - held, seconds(60));
}

TEST_F(MappingKeeperTest, ARenewalThatNobodyAnswersIsRepeatedUntilTheLeaseEnds) {
  hold();
  const TimePoint expires = clock.now() + kLease;
  int renewals = 0;
  while (keeper.state() == State::holding) {
    ASSERT_LT(renewals, 100);
    EXPECT_THAT(keeper.outside(), SizeIs(1));
    go_on();
    for (const Ask& ask : keeper.take_asks()) {
      if (ask != map(0, kTcp, at)) continue;
      ++renewals;
      clock.advance(seconds(1));
      unanswered(0, kTcp);
    }
  }
  EXPECT_GE(renewals, 4);
  EXPECT_GE(clock.now(), expires);
  EXPECT_LT(clock.now(), expires + seconds(5));
  EXPECT_EQ(keeper.state(), State::looking);
  EXPECT_THAT(keeper.outside(), IsEmpty());
  EXPECT_THAT(keeper.take_notes(), Contains(HasSubstr("its lease has ended")));
}

TEST_F(MappingKeeperTest, ARefusedRenewalIsLostAtOnce) {
  hold();
  until_asked(map(0, kTcp, at));
  refused(0, kTcp, "NO_RESOURCES (8)");
  EXPECT_EQ(keeper.state(), State::looking);
  EXPECT_THAT(keeper.take_asks(), Contains(look(0)));
  alive(0);
  EXPECT_THAT(keeper.take_asks(), ElementsAre(map(0, kTcp, at)));  // it wishes for the same again
}

TEST_F(MappingKeeperTest, AGatewayThatBeganAnewIsAskedAgain) {
  hold(std::uint32_t{1000});
  until_asked(look(0));
  alive(0, {.epoch_s = std::uint32_t{1000 + 60}});
  EXPECT_THAT(keeper.take_asks(), IsEmpty());
  until_asked(look(0));
  alive(0, {.epoch_s = std::uint32_t{3}});
  EXPECT_THAT(keeper.take_asks(), ElementsAre(map(0, kTcp, at)));
  EXPECT_THAT(keeper.take_notes(), ElementsAre(HasSubstr("began anew")));
}

TEST_F(MappingKeeperTest, OneThatBeganAnewShowsInTheRenewalOfOnePort) {
  keeper = MappingKeeper({kTcp, kUdp}, kLease);
  begin({"one"});
  alive(0);
  granted(0, kTcp, at, kLease, std::uint32_t{1000});
  granted(0, kUdp, {kWorld, 7101}, seconds(1200), std::uint32_t{1000});
  keeper.take_asks();
  until_asked(map(0, kTcp, at));
  keeper.take_asks();
  granted(0, kTcp, at, kLease, std::uint32_t{2});
  // The other one is under way already where both are due, or is asked for now.
  granted(0, kUdp, {kWorld, 7101}, kLease, std::uint32_t{2});
  EXPECT_EQ(keeper.state(), State::holding);
  EXPECT_THAT(keeper.take_notes(), Contains(HasSubstr("began anew")));
}

TEST_F(MappingKeeperTest, AnotherOutsideAddressAndAForgottenMappingAreAskedFor) {
  hold();
  until_asked(look(0));
  alive(0, {.outside = kWorld});
  EXPECT_THAT(keeper.take_asks(), IsEmpty());
  until_asked(look(0));
  alive(0, {.outside = address("9.9.9.9")});
  EXPECT_THAT(keeper.take_asks(), ElementsAre(map(0, kTcp, at)));
  const Outside moved{address("9.9.9.9"), 40000};
  granted(0, kTcp, moved);
  EXPECT_THAT(keeper.outside(), ElementsAre(testing::Pair(kTcp, moved)));
  until_asked(look(0));
  alive(0, {.outside = moved.address, .forgot = true});
  EXPECT_THAT(keeper.take_asks(), ElementsAre(map(0, kTcp, moved)));
}

TEST_F(MappingKeeperTest, AnnouncementsCostOneQuestionAMoment) {
  hold();
  for (int i = 0; i < 10; ++i) {
    keeper.announced(0, clock.now());
    EXPECT_THAT(keeper.take_asks(), SizeIs(i == 0 ? 1 : 0));
    granted(0, kTcp, at);
  }
  clock.advance(kLeastRetry);
  keeper.announced(0, clock.now());
  EXPECT_THAT(keeper.take_asks(), ElementsAre(map(0, kTcp, at)));
}

TEST_F(MappingKeeperTest, AnAnnouncementEndsThePauseAfterAFailure) {
  begin({"one"});
  silent(0);
  keeper.take_asks();
  keeper.announced(0, clock.now());
  EXPECT_EQ(keeper.state(), State::looking);
  EXPECT_THAT(keeper.take_asks(), ElementsAre(look(0)));
}

TEST_F(MappingKeeperTest, AtTheEndWhatIsMappedIsRemoved) {
  hold();
  keeper.finish(clock.now());
  EXPECT_EQ(keeper.state(), State::ending);
  EXPECT_THAT(keeper.take_asks(), ElementsAre(unmap(0, kTcp, at.port)));
  EXPECT_THAT(keeper.outside(), IsEmpty());
  keeper.take({.source = 0, .port = kTcp, .removal = true, .what = Removed{}}, clock.now());
  EXPECT_EQ(keeper.state(), State::ended);
}

TEST_F(MappingKeeperTest, WhatWasOnlyAskedForIsRemovedAsWell) {
  begin({"one"});
  alive(0);
  keeper.take_asks();
  keeper.finish(clock.now());
  EXPECT_THAT(keeper.take_asks(), ElementsAre(unmap(0, kTcp)));
  granted(0, kTcp, at);  // too late
  EXPECT_EQ(keeper.state(), State::ending);
}

TEST_F(MappingKeeperTest, TheEndWaitsForNobodyForLong) {
  hold();
  keeper.finish(clock.now());
  go_on();
  EXPECT_EQ(keeper.state(), State::ended);
  EXPECT_EQ(clock.now().time_since_epoch(), kFarewell);
}

TEST_F(MappingKeeperTest, WithNothingMappedTheEndIsAtOnce) {
  begin({"one"});
  keeper.finish(clock.now());
  EXPECT_EQ(keeper.state(), State::ended);
  EXPECT_THAT(keeper.take_asks(), IsEmpty());
}

TEST_F(MappingKeeperTest, AGrantForNoTimeOrNoPortIsNone) {
  for (const auto& [lifetime, port] : {std::pair(seconds(0), 40000), std::pair(kLease, 0)}) {
    begin({"one"});
    alive(0);
    keeper.take_asks();
    granted(0, kTcp, {kWorld, static_cast<std::uint16_t>(port)}, lifetime);
    EXPECT_EQ(keeper.state(), State::failed);
  }
}

TEST_F(MappingKeeperTest, OtherGatewaysAreLookedForAnew) {
  hold();
  begin({"another"});
  EXPECT_EQ(keeper.state(), State::looking);
  EXPECT_THAT(keeper.take_asks(), ElementsAre(look(0)));
  alive(0);
  EXPECT_THAT(keeper.take_asks(), ElementsAre(map(0, kTcp, at)));
}

}  // namespace
}  // namespace ptrain::punch
