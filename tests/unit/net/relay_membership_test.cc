// What a member asks a relay, and what it makes of the answers. Without a socket.

#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/net/two_members.h"

namespace ptrain::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_F(Members, FirstThingOnAConnectionIsTheRegistration) {
  RelayMembership member = membership();
  EXPECT_FALSE(member.next_request(now).has_value());
  member.connected(now);
  const auto request = member.next_request(now);
  ASSERT_TRUE(request);
  EXPECT_TRUE(std::holds_alternative<request::Register>(request->body));
  EXPECT_FALSE(member.next_request(now).has_value()) << "nothing else before it is granted";
}

TEST_F(Members, WhoIsRegisteredWatchesLooksUpAndRenewsThriceALease) {
  RelayMembership member = registered();
  EXPECT_TRUE(next_of<request::Watch>(member, now));
  EXPECT_TRUE(next_of<request::LookUp>(member, now));
  EXPECT_FALSE(next_of<request::Renew>(member, now + milliseconds(9900)));
  EXPECT_TRUE(next_of<request::Renew>(member, now + seconds(10)));
}

TEST_F(Members, WhoIsSoughtIsIntroducedOnceForEachRegistration) {
  RelayMembership member = registered();
  const auto look_up = next_of<request::LookUp>(member, now);
  ASSERT_TRUE(look_up);
  const answer::Found found{.records = {peer_record()}, .complete = true, .registry_version = 2};
  member.take({look_up->id, found}, now);
  const auto introduce = next_of<request::Introduce>(member, now);
  ASSERT_TRUE(introduce);
  const auto& body = std::get<request::Introduce>(introduce->body);
  EXPECT_EQ(body.to, (Place{theirs.public_key(), "stage-0"}));
  EXPECT_EQ(body.paths, 2);

  member.take({0, answer::Appeared{peer_record(), 3}}, now);
  EXPECT_FALSE(next_of<request::Introduce>(member, now)) << "the same registration";
  member.take({0, answer::Appeared{peer_record(2), 4}}, now);
  EXPECT_TRUE(next_of<request::Introduce>(member, now)) << "the peer was started anew";
}

TEST_F(Members, ManyRolesAreSoughtByTheirBeginning) {
  RelayMembership member({.record = record(ours, "fetcher-1", 7, member_key),
                          .run_key = issuer.verify_key(),
                          .self_key = ours.public_key(),
                          .role = "fetcher-1",
                          .seeks = {"holder-*"}});
  member.connected(now);
  member.take({next_of<request::Register>(member, now)->id,
               answer::Granted{.lease_ms = 30000, .registry_version = 1, .observed_host = {}}},
              now);
  for (const std::string role : {"holder-a", "holde", "stage-0", "holder-b"}) {
    member.take({0, answer::Appeared{record(theirs, role, 1, member_key), 2}}, now);
    const bool introduced = next_of<request::Introduce>(member, now).has_value();
    EXPECT_EQ(introduced, role.starts_with("holder-")) << role;
  }
}

TEST_F(Members, WhoIsNotSoughtIsLeftAlone) {
  RelayMembership member = registered();
  member.take({0, answer::Appeared{record(theirs, "stage-2", 1, member_key), 2}}, now);
  EXPECT_FALSE(next_of<request::Introduce>(member, now));
}

TEST_F(Members, WhoHasNoConnectionWithTheRelayIsToldOfAndAskedForAgain) {
  RelayMembership member = registered();
  const Place place{.peer_key = theirs.public_key(), .role = "stage-0"};
  member.reintroduce(place, now);
  now += seconds(1);
  const auto request = next_of<request::Introduce>(member, now);
  ASSERT_TRUE(request);
  const auto events = member.take(
      {request->id,
       answer::Refused{
           .reason = Refusal::unknown_peer, .text = "", .retry_ms = 500, .absent = true}},
      now + milliseconds(20));
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(std::get<membership::Absent>(events[0]).who, place);
  EXPECT_EQ(std::get<membership::Absent>(events[0]).asked, now);
  EXPECT_TRUE(next_of<request::Introduce>(member, now + seconds(1)));
}

TEST_F(Members, RecordsThatTheRunDidNotSignAreIgnored) {
  const SigningKey other = JobSecret::generate(random).member_key();
  RelayMembership member = registered();
  member.take({0, answer::Appeared{record(theirs, "stage-0", 1, other), 2}}, now);
  SignedRecord changed = peer_record();
  changed.record.back() ^= std::byte{1};
  member.take({0, answer::Appeared{changed, 3}}, now);
  EXPECT_FALSE(next_of<request::Introduce>(member, now));
  const auto events = member.take({0, answer::Introduced{.record = changed, .tokens = {}}}, now);
  EXPECT_TRUE(events.empty());
}

TEST_F(Members, AnIntroductionSaysWhomWithWhichTokens) {
  RelayMembership member = registered();
  const answer::PathToken token{.to = {theirs.public_key(), "stage-0"}, .path = 1, .token = "abc"};
  const auto events =
      member.take({0, answer::Introduced{.record = peer_record(), .tokens = {token}}}, now);
  ASSERT_EQ(events.size(), 1u);
  const auto* met = std::get_if<membership::Met>(&events[0]);
  ASSERT_NE(met, nullptr);
  EXPECT_EQ(met->peer.peer_key, theirs.public_key());
  ASSERT_EQ(met->tokens.size(), 1u);
  EXPECT_EQ(met->tokens[0], token);
}

TEST_F(Members, ALeaseThatTheRelayForgotIsTakenAnew) {
  RelayMembership member = registered();
  const auto renew = next_of<request::Renew>(member, now + seconds(10));
  ASSERT_TRUE(renew);
  now += seconds(10);
  const auto events = member.take(
      {renew->id, answer::Refused{.reason = Refusal::not_a_member, .text = "expired"}}, now);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_FALSE(std::get<membership::Standing>(events[0]).registered);
  EXPECT_TRUE(next_of<request::Register>(member, now + seconds(1)));
}

TEST_F(Members, AKeyThatIsNotServedIsToldOfItAtOnceAndTriesAgainSlowly) {
  for (const Refusal reason : {Refusal::not_allowed, Refusal::not_a_member}) {
    RelayMembership member = membership();
    member.connected(now);
    const auto request = member.next_request(now);
    const auto events =
        member.take({request->id, answer::Refused{.reason = reason, .text = "not served"}}, now);
    ASSERT_EQ(events.size(), 1u);
    const auto& standing = std::get<membership::Standing>(events[0]);
    EXPECT_TRUE(standing.permanent);
    EXPECT_EQ(standing.kind, ErrorKind::permission);
    EXPECT_EQ(standing.hint, reason == Refusal::not_allowed
                                 ? how_to_be_served(ours.public_key())
                                 : how_to_be_served(RunId(issuer.verify_key())));
    EXPECT_FALSE(member.next_request(now + milliseconds(4900)).has_value());
    EXPECT_TRUE(next_of<request::Register>(member, now + seconds(5)));
  }
}

TEST_F(Members, WhoIsNoLongerServedIsNotRegistered) {
  RelayMembership member = registered();
  const auto renew = next_of<request::Renew>(member, now + seconds(10));
  ASSERT_TRUE(renew);
  now += seconds(10);
  const auto events = member.take(
      {renew->id, answer::Refused{.reason = Refusal::not_allowed, .text = "not served"}}, now);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_FALSE(std::get<membership::Standing>(events[0]).registered);
  EXPECT_TRUE(next_of<request::Register>(member, now + seconds(1)));
}

TEST_F(Members, BusyRelaysAreAskedAgainWhenTheySay) {
  RelayMembership member = membership();
  member.connected(now);
  const auto request = member.next_request(now);
  member.take(
      {request->id, answer::Refused{.reason = Refusal::busy, .text = "slowly", .retry_ms = 2500}},
      now);
  EXPECT_FALSE(member.next_request(now + milliseconds(2400)).has_value());
  EXPECT_TRUE(member.next_request(now + milliseconds(2500)).has_value());
}

// It may be a process of ours from before our clock was set back, whose lease ends.
TEST_F(Members, ANewerProcessInOurPlaceIsWaitedOut) {
  RelayMembership member = membership();
  member.connected(now);
  const auto request = member.next_request(now);
  const auto events = member.take(
      {request->id, answer::Refused{.reason = Refusal::outdated, .text = "newer"}}, now);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_FALSE(std::get<membership::Standing>(events[0]).registered);
  EXPECT_FALSE(std::get<membership::Standing>(events[0]).permanent);
  EXPECT_FALSE(member.next_request(now + milliseconds(4900)).has_value());
  const auto again = member.next_request(now + seconds(5));
  ASSERT_TRUE(again);
  EXPECT_TRUE(std::holds_alternative<request::Register>(again->body));
}

TEST_F(Members, AnAnswerThatDoesNotComeIsNoticed) {
  RelayMembership member = membership();
  member.connected(now);
  ASSERT_TRUE(member.next_request(now));
  EXPECT_FALSE(member.overdue(now + milliseconds(2900)));
  EXPECT_TRUE(member.overdue(now + seconds(3)));
  EXPECT_EQ(member.next_tick(), now + seconds(3));
}

// As behind a home's router whose queue holds seconds.
TEST_F(Members, WhereAnswersTakeSecondsTheyAreWaitedForLonger) {
  RelayMembership member = membership();
  const auto answered = [&](Duration after) {
    const auto request = member.next_request(now);
    if (!request || member.overdue(now += after)) return false;
    member.take({request->id, answer::Granted{.lease_ms = 30000, .observed_host = {}}}, now);
    return true;
  };
  member.connected(now);
  EXPECT_FALSE(answered(seconds(5)));
  member.answer_was_overdue();
  member.lost();
  member.connected(now);
  EXPECT_TRUE(answered(seconds(5)));
  EXPECT_TRUE(answered(seconds(5))) << "and the next one, too";
  EXPECT_FALSE(answered(seconds(15))) << "so long and no longer";
}

TEST_F(Members, AConnectionThatBreaksBeginsFromTheStart) {
  RelayMembership member = registered();
  member.take({0, answer::Appeared{peer_record(), 2}}, now);
  member.lost();
  EXPECT_FALSE(member.next_request(now + seconds(60)).has_value());
  member.connected(now);
  const auto request = member.next_request(now);
  ASSERT_TRUE(request);
  EXPECT_TRUE(std::holds_alternative<request::Register>(request->body));
}

TEST_F(Members, AMissedChangeIsLookedUp) {
  RelayMembership member = registered();
  const auto look_up = next_of<request::LookUp>(member, now);
  member.take({look_up->id, answer::Found{.records = {}, .complete = true, .registry_version = 5}},
              now);
  member.take({0, answer::Departed{.who = {theirs.public_key(), "stage-2"}, .registry_version = 6}},
              now);
  EXPECT_FALSE(next_of<request::LookUp>(member, now));
  member.take({0, answer::Departed{.who = {theirs.public_key(), "stage-2"}, .registry_version = 8}},
              now);
  EXPECT_TRUE(next_of<request::LookUp>(member, now));
}

// The last change before nothing changes any more is the one that no later change gives away.
TEST_F(Members, ASingleLostChangeIsLookedUpAtTheNextRenewal) {
  RelayMembership member = registered();
  const auto look_up = next_of<request::LookUp>(member, now);
  member.take({look_up->id, answer::Found{.records = {}, .complete = true, .registry_version = 5}},
              now);
  const auto renew = next_of<request::Renew>(member, now + seconds(10));
  ASSERT_TRUE(renew);
  const auto granted = [](std::uint64_t version) {
    return answer::Granted{.lease_ms = 30000, .registry_version = version, .observed_host = {}};
  };
  member.take({renew->id, granted(5)}, now + seconds(10));
  EXPECT_FALSE(next_of<request::LookUp>(member, now + seconds(10))) << "nothing has changed";
  const auto again = next_of<request::Renew>(member, now + seconds(20));
  ASSERT_TRUE(again);
  member.take({again->id, granted(6)}, now + seconds(20));
  EXPECT_TRUE(next_of<request::LookUp>(member, now + seconds(20)));
}

TEST_F(Members, ARelayOfAnotherVersionIsFinalAndAMatterOfUsage) {
  RelayMembership member = membership();
  member.connected(now);
  ASSERT_TRUE(member.next_request(now));
  // It could not read the number of the request.
  const auto events = member.take(
      {0, answer::Refused{.reason = Refusal::version, .text = "version 1, ours is 2"}}, now);
  ASSERT_EQ(events.size(), 1u);
  const auto& standing = std::get<membership::Standing>(events[0]);
  EXPECT_TRUE(standing.permanent);
  EXPECT_EQ(standing.kind, ErrorKind::usage);
  EXPECT_EQ(standing.why, "version: version 1, ours is 2");
  EXPECT_FALSE(member.next_request(now + seconds(60)).has_value());
}

TEST_F(Members, ARevocationCountsWhenTheIssuerHasSignedIt) {
  RelayMembership member = registered();
  const auto revoked = [&](const SigningKey& by) {
    Revocation revocation = make_revocation(by, theirs.public_key());
    revocation.run_key = issuer.verify_key();
    return member.take({0, answer::Revoked{revocation}}, now);
  };
  EXPECT_TRUE(revoked(member_key).empty());
  const auto events = revoked(issuer);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(std::get<membership::Revoked>(events[0]).peer, theirs.public_key());
}

TEST_F(Members, TokensThatFailAreReplacedByOneNewIntroduction) {
  RelayMembership member = registered();
  const Place to{theirs.public_key(), "stage-0"};
  member.reintroduce(to, now);
  member.reintroduce(to, now);
  EXPECT_TRUE(next_of<request::Introduce>(member, now + seconds(1)));
  EXPECT_FALSE(next_of<request::Introduce>(member, now + seconds(1)));
  member.reintroduce(to, now + seconds(1));
  EXPECT_FALSE(next_of<request::Introduce>(member, now + seconds(5))) << "one is open already";
}

TEST_F(Members, AnIntroductionThatTheConnectionDidNotLiveToSeeIsAskedForOverTheNext) {
  const Place peer{theirs.public_key(), "stage-0"};
  for (const bool asked_before : {false, true}) {
    SCOPED_TRACE(asked_before);
    RelayMembership member = registered();
    if (asked_before) member.reintroduce(peer, now);
    if (asked_before) {
      ASSERT_TRUE(next_of<request::Introduce>(member, now + seconds(2)));
    }
    member.lost();
    if (!asked_before) member.reintroduce(peer, now);
    EXPECT_FALSE(next_of<request::Introduce>(member, now + seconds(20))) << "whom should it ask?";
    member.connected(now);
    const auto request = member.next_request(now);
    ASSERT_TRUE(request);
    member.take({request->id,
                 answer::Granted{.lease_ms = 30000, .registry_version = 1, .observed_host = {}}},
                now);
    const auto introduce = next_of<request::Introduce>(member, now);
    ASSERT_TRUE(introduce);
    EXPECT_EQ(std::get<request::Introduce>(introduce->body).to, peer);
    EXPECT_FALSE(next_of<request::Introduce>(member, now + seconds(2))) << "once";
  }
}

TEST_F(Members, WhatWeSayOfOurselvesMayChangeAndWhomWeSeekIsAskedForAnew) {
  RelayMembership member = registered();
  member.take({0, answer::Appeared{peer_record(), 2}}, now);
  const auto introduction = next_of<request::Introduce>(member, now);
  ASSERT_TRUE(introduction);
  member.take({introduction->id, answer::Introduced{.record = peer_record()}}, now);
  const SignedRecord changed = record(ours, "stage-1", 8, member_key);
  member.replace_record(changed, now);
  const auto registration = next_of<request::Register>(member, now);
  ASSERT_TRUE(registration);
  EXPECT_EQ(std::get<request::Register>(registration->body).record, changed);
  const answer::Granted granted{.lease_ms = 30000, .registry_version = 3, .observed_host = {}};
  const auto events = member.take({registration->id, granted}, now);
  EXPECT_TRUE(events.empty()) << "it was registered all the time";
  EXPECT_TRUE(next_of<request::Introduce>(member, now));
  EXPECT_TRUE(next_of<request::Renew>(member, now + seconds(10))) << "and is renewed as before";
  EXPECT_FALSE(next_of<request::Renew>(member, now + seconds(10)));
}

TEST_F(Members, AChangeThatTheRelayHasNoTimeForIsToldAgain) {
  RelayMembership member = registered();
  member.replace_record(record(ours, "stage-1", 8, member_key), now);
  const auto registration = next_of<request::Register>(member, now);
  ASSERT_TRUE(registration);
  const auto events =
      member.take({registration->id,
                   answer::Refused{.reason = Refusal::busy, .text = "too many", .retry_ms = 500}},
                  now);
  EXPECT_TRUE(events.empty()) << "what it said before still holds";
  EXPECT_TRUE(next_of<request::Register>(member, now + milliseconds(500)));
}

TEST_F(Members, AChangeBeforeTheFirstAnswerFollowsIt) {
  RelayMembership member = membership();
  member.connected(now);
  const auto first = member.next_request(now);
  const SignedRecord changed = record(ours, "stage-1", 8, member_key);
  member.replace_record(changed, now);
  EXPECT_FALSE(next_of<request::Register>(member, now)) << "one at a time";
  member.take(
      {first->id, answer::Granted{.lease_ms = 30000, .registry_version = 1, .observed_host = {}}},
      now);
  const auto second = next_of<request::Register>(member, now);
  ASSERT_TRUE(second);
  EXPECT_EQ(std::get<request::Register>(second->body).record, changed);
}

TEST_F(Members, WhoIsRegisteredLearnsTheEchosPortsAndWhenToBegin) {
  RelayMembership member = membership();
  member.connected(now);
  const auto request = member.next_request(now);
  const auto events = member.take({request->id, answer::Granted{.lease_ms = 30000,
                                                                .registry_version = 1,
                                                                .observed_host = {},
                                                                .echo_ports = {7102, 7103}}},
                                  now);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_THAT(std::get<membership::Standing>(events[0]).echo_ports,
              testing::ElementsAre(7102, 7103));
  const auto met =
      member.take({0, answer::Introduced{.record = peer_record(), .start_ms = 300}}, now);
  ASSERT_EQ(met.size(), 1u);
  EXPECT_EQ(std::get<membership::Met>(met[0]).start, milliseconds(300));
}

// ---- Claims.

// A member that is registered, and has asked for "driver" for 6 s.
class Claiming : public Members {
 protected:
  Claiming() : member(registered()) {
    while (member.next_request(now)) {
    }
    member.claim("driver", 0, seconds(6), now);
  }
  RelayMembership with_boot_clock(MembershipOptions options) {
    options.boot_clock = [this] { return boot; };
    return RelayMembership(std::move(options));
  }
  // What becomes of that answer to the claim that is due.
  std::vector<membership::Event> told(const answer::Claimed& claimed) {
    const auto request = next_of<request::Claim>(member, now);
    if (!request) throw std::runtime_error("nothing is due");
    asked = std::get<request::Claim>(request->body);
    return member.take({request->id, claimed}, now);
  }
  static membership::Claimed only(const std::vector<membership::Event>& events) {
    EXPECT_EQ(events.size(), 1u);
    return std::get<membership::Claimed>(events.at(0));
  }

  TimePoint boot{std::chrono::hours(1000)};
  RelayMembership member;
  request::Claim asked;
};

TEST_F(Claiming, WhatIsGrantedIsProlongedUnderItsNumberThriceInEachHold) {
  const auto granted = only(told({.granted = true, .number = 9, .holder = {}, .hold_ms = 6000}));
  EXPECT_EQ(asked.number, 0u);
  EXPECT_EQ(asked.hold_ms, 6000u);
  EXPECT_EQ(granted.name, "driver");
  EXPECT_TRUE(granted.granted);
  EXPECT_EQ(granted.number, 9u);
  EXPECT_FALSE(next_of<request::Claim>(member, now + seconds(2) - milliseconds(1)));
  now += seconds(2);
  told({.granted = true, .number = 9, .holder = {}, .hold_ms = 6000});
  EXPECT_EQ(asked.number, 9u);
}

TEST_F(Claiming, ItsTimeCountsFromTheRequestByTheClockThatKnowsOfSleep) {
  MembershipOptions options{.record = record(ours, "stage-1", 7, member_key),
                            .run_key = issuer.verify_key(),
                            .self_key = ours.public_key(),
                            .role = "stage-1"};
  member = with_boot_clock(std::move(options));
  member.connected(now);
  const auto request = member.next_request(now);
  member.take(
      {request->id, answer::Granted{.lease_ms = 30000, .registry_version = 1, .observed_host = {}}},
      now);
  member.claim("driver", 0, seconds(6), now);
  const auto claim = next_of<request::Claim>(member, now);
  ASSERT_TRUE(claim);
  const TimePoint sent = boot;
  boot += seconds(3);  // asleep, of which the other clock knows nothing
  const auto granted = only(member.take({claim->id, answer::Claimed{true, 9, {}, 6000}}, now));
  EXPECT_EQ(granted.until, sent + seconds(6));
}

TEST_F(Claiming, WhatAnotherHasIsNotAskedForAgain) {
  const Place holder{theirs.public_key(), "stage-0"};
  const auto refused =
      only(told({.granted = false, .number = 8, .holder = holder, .hold_ms = 4000}));
  EXPECT_FALSE(refused.granted);
  EXPECT_EQ(refused.number, 8u);
  EXPECT_EQ(refused.holder, holder);
  EXPECT_FALSE(next_of<request::Claim>(member, now + seconds(60)));
}

TEST_F(Claiming, ANewConnectionIsAskedForItUnderItsNumber) {
  told({.granted = true, .number = 9, .holder = {}, .hold_ms = 6000});
  member.lost();
  member.connected(now);
  EXPECT_FALSE(next_of<request::Claim>(member, now)) << "not before we are registered";
  member.lost();
  member.connected(now);
  const auto request = member.next_request(now);
  member.take(
      {request->id, answer::Granted{.lease_ms = 30000, .registry_version = 1, .observed_host = {}}},
      now);
  told({.granted = true, .number = 9, .holder = {}, .hold_ms = 6000});
  EXPECT_EQ(asked.number, 9u);
}

TEST_F(Claiming, GivenBackItIsSaidOnceAndNotProlonged) {
  told({.granted = true, .number = 9, .holder = {}, .hold_ms = 6000});
  member.give_back("driver", now);
  EXPECT_TRUE(told({.granted = true, .number = 9, .holder = {}, .hold_ms = 0}).empty());
  EXPECT_EQ(asked.number, 9u);
  EXPECT_EQ(asked.hold_ms, 0u);
  EXPECT_FALSE(next_of<request::Claim>(member, now + seconds(60)));
  member.give_back("driver", now);
  EXPECT_FALSE(next_of<request::Claim>(member, now)) << "it has nothing";
}

TEST_F(Claiming, ARelayThatIsBusyIsAskedAgainAndOneThatHasNoRoomIsNot) {
  auto request = next_of<request::Claim>(member, now);
  ASSERT_TRUE(request);
  EXPECT_TRUE(member
                  .take({request->id,
                         answer::Refused{.reason = Refusal::busy, .text = "busy", .retry_ms = 500}},
                        now)
                  .empty());
  now += milliseconds(500);
  request = next_of<request::Claim>(member, now);
  ASSERT_TRUE(request);
  const auto refused = only(member.take(
      {request->id, answer::Refused{.reason = Refusal::full, .text = "no room", .retry_ms = 500}},
      now));
  EXPECT_FALSE(refused.granted);
  EXPECT_EQ(refused.why, "full: no room");
  EXPECT_FALSE(next_of<request::Claim>(member, now + seconds(60)));
}

}  // namespace
}  // namespace ptrain::net
