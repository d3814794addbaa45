// Who is let in at a server's door, how many at once, and what the others are told.

#include "libcommon/net/guest_admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/wire/envelope.h"

namespace ptrain::net {
namespace {

using testing::HasSubstr;

Introduction introduction() {
  return {.run = "checkpoints", .job_hash = "", .stage_count = 2, .data_fingerprint = ""};
}

wire::Hello hello(std::uint64_t incarnation) {
  return {.version = wire::kProtocolVersion,
          .run = "checkpoints",
          .job_hash = "",
          .stage_count = 2,
          .data_fingerprint = "",
          .stage = StageIndex(1),
          .incarnation = incarnation,
          .received = {}};
}

GuestAdmission admission(std::size_t max_guests) {
  return GuestAdmission({.introduction = introduction(),
                         .admitted = std::nullopt,
                         .max_guests = max_guests,
                         .busy_answer = "; ask tcp://10.0.0.7:7000"});
}

PeerHandle let_in(GuestAdmission& door, const wire::Hello& hello, const std::string& key = "k") {
  const Verdict verdict = door.judge({.hello = hello, .key = key});
  EXPECT_TRUE(std::holds_alternative<PeerHandle>(verdict));
  return std::get<PeerHandle>(verdict);
}

Rejection refused(GuestAdmission& door, const wire::Hello& hello, const std::string& key = "k") {
  const Verdict verdict = door.judge({.hello = hello, .key = key});
  EXPECT_TRUE(std::holds_alternative<Rejection>(verdict));
  return std::get<Rejection>(verdict);
}

TEST(GuestAdmission, OneGuestHasOneHandleHoweverOftenItConnects) {
  GuestAdmission door = admission(4);
  const PeerHandle first = let_in(door, hello(1));
  EXPECT_EQ(let_in(door, hello(1)), first);
  EXPECT_NE(let_in(door, hello(2)), first);
  EXPECT_NE(let_in(door, hello(1), "another key"), first);
}

PublicKey key_of(std::uint8_t byte) {
  PublicKey key{};
  key.fill(byte);
  return key;
}

TEST(GuestAdmission, MembersOfARunAreLetInUntilTheyAreTakenOutOfIt) {
  GuestAdmission door({.introduction = introduction(),
                       .admitted = std::set{key_of(9)},
                       .busy_answer = "",
                       .member_roles = "fetcher-"});
  EXPECT_FALSE(door.admits(key_of(1)));
  const auto tie = door.tie_to("fetcher-1");
  ASSERT_TRUE(tie);
  EXPECT_FALSE(tie->we_dial);
  EXPECT_FALSE(tie->peer) << "it is known when it comes";
  EXPECT_TRUE(door.admit("fetcher-1", key_of(1)));
  EXPECT_TRUE(door.admits(key_of(1)));
  EXPECT_TRUE(door.admits(key_of(9)));
  door.bar(key_of(1));
  EXPECT_FALSE(door.admits(key_of(1)));
  EXPECT_FALSE(door.admit("fetcher-2", key_of(1))) << "under another role as little";
  EXPECT_FALSE(door.tie_to("stage-1"));
}

// Keys are free to who holds the ticket, and a holder runs for months.
TEST(GuestAdmission, MembersThatRelaysHaveNoMoreAreForgottenUnlessTheyAreHere) {
  GuestRules rules{.introduction = introduction(),
                   .admitted = std::set<PublicKey>{},
                   .member_roles = "fetcher-"};
  GuestAdmission door(rules);
  const PublicKey key = key_of(1);
  EXPECT_TRUE(door.admit("fetcher-a", key));
  EXPECT_TRUE(door.admit("fetcher-b", key));
  const PeerHandle here = let_in(door, hello(1), to_hex(key));
  EXPECT_EQ(door.id_of(here).key, key);
  EXPECT_TRUE(door.departed("fetcher-a", key)) << "another process of that host is registered";
  EXPECT_FALSE(door.departed("fetcher-b", key)) << "it has a seat, and may have to come back";
  EXPECT_TRUE(door.admits(key));
  door.left(here);
  EXPECT_TRUE(door.departed("fetcher-b", key));
  EXPECT_FALSE(door.admits(key));
}

TEST(GuestAdmission, WhatOneKeyRegistersIsBounded) {
  GuestAdmission door({.introduction = introduction(),
                       .admitted = std::set<PublicKey>{},
                       .member_roles = "fetcher-"});
  for (std::size_t i = 0; i < kMostRolesOfOneKey; ++i) {
    EXPECT_TRUE(door.admit("fetcher-" + std::to_string(i), key_of(1)));
  }
  EXPECT_FALSE(door.admit("fetcher-more", key_of(1)));
  EXPECT_TRUE(door.admit("fetcher-0", key_of(1)));
  EXPECT_TRUE(door.admit("fetcher-more", key_of(2)));
}

TEST(GuestAdmission, WithoutARunNoMemberIsMet) {
  GuestAdmission door = admission(4);
  EXPECT_FALSE(door.tie_to("fetcher-1"));
  EXPECT_FALSE(door.tie_to(""));
}

TEST(GuestAdmission, WhoIsAboutToEndLetsInOnlyThoseItKnows) {
  GuestAdmission door = admission(4);
  const PeerHandle known = let_in(door, hello(1));
  door.admit_no_more();
  EXPECT_EQ(let_in(door, hello(1)), known);
  EXPECT_FALSE(refused(door, hello(2)).answer) << "an answer would make it come again at once";
}

TEST(GuestAdmission, WhoClaimsAnotherPlaceTakesNoSeat) {
  GuestAdmission door = admission(2);
  for (std::uint64_t incarnation = 1; incarnation <= 8; ++incarnation) {
    wire::Hello wrong = hello(incarnation);
    wrong.stage = StageIndex(7);
    const Rejection refusal = refused(door, wrong);
    EXPECT_THAT(refusal.why, HasSubstr("stage 7"));
    EXPECT_FALSE(refusal.answer->retry);
  }
  let_in(door, hello(1));
  let_in(door, hello(2));
}

TEST(GuestAdmission, OneAddressHasHalfOfTheSeats) {
  GuestAdmission door = admission(5);
  const auto judge = [&](std::uint64_t incarnation, const std::string& address) {
    const wire::Hello its = hello(incarnation);
    // With a key of its own, because keys are free.
    return door.judge({.hello = its, .key = std::to_string(incarnation), .address = address});
  };
  for (std::uint64_t i = 1; i <= 3; ++i) {
    EXPECT_TRUE(std::holds_alternative<PeerHandle>(judge(i, "192.0.2.1"))) << i;
  }
  const Verdict verdict = judge(4, "192.0.2.1");
  ASSERT_TRUE(std::holds_alternative<Rejection>(verdict));
  EXPECT_THAT(std::get<Rejection>(verdict).why, HasSubstr("3 clients at 192.0.2.1"));
  EXPECT_TRUE(std::get<Rejection>(verdict).answer->retry);
  EXPECT_TRUE(std::holds_alternative<PeerHandle>(judge(5, "192.0.2.2")));
  EXPECT_TRUE(std::holds_alternative<PeerHandle>(judge(6, ""))) << "over a socket file";
}

TEST(GuestAdmission, BeyondTheLimitACallerIsToldWhereElseToGo) {
  GuestAdmission door = admission(2);
  let_in(door, hello(1));
  let_in(door, hello(2));
  const Rejection refusal = refused(door, hello(3));
  ASSERT_TRUE(refusal.answer);
  EXPECT_TRUE(refusal.answer->failed);
  EXPECT_TRUE(refusal.answer->retry);
  EXPECT_EQ(refusal.answer->reason, "it serves 2 clients already; ask tcp://10.0.0.7:7000");
  let_in(door, hello(1));  // who is in stays in
}

TEST(GuestAdmission, APlaceThatIsLeftIsFreeAgain) {
  GuestAdmission door = admission(1);
  const PeerHandle first = let_in(door, hello(1));
  refused(door, hello(2));
  door.left(first);
  EXPECT_NE(let_in(door, hello(2)), first);
}

TEST(GuestAdmission, OneKeyCannotTakeEveryPlace) {
  GuestAdmission door = admission(100);
  for (std::uint64_t i = 1; i <= kMaxGuestsOfOneKey; ++i) let_in(door, hello(i));
  EXPECT_THAT(refused(door, hello(99)).why, HasSubstr("with this key"));
  let_in(door, hello(99), "another key");
  // Without keys everyone on the machine looks the same: only the whole is bounded.
  for (std::uint64_t i = 1; i <= 2 * kMaxGuestsOfOneKey; ++i) let_in(door, hello(i), "");
}

TEST(GuestAdmission, AForgottenSessionIsNotTakenUpInTheMiddle) {
  GuestAdmission door = admission(4);
  wire::Hello late = hello(5);
  late.to = 7;
  const Rejection refusal = refused(door, late);
  EXPECT_TRUE(refusal.answer && refusal.answer->retry);
  EXPECT_THAT(refusal.why, HasSubstr("has ended"));
}

TEST(GuestAdmission, StrangersAreToldTheDifferenceAndNotToRetry) {
  GuestAdmission door = admission(4);
  wire::Hello training = hello(1);
  training.run = "static";
  EXPECT_THAT(refused(door, training).why, HasSubstr("run 'static', ours is 'checkpoints'"));
  wire::Hello future = hello(1);
  future.version = 9;
  const Rejection refusal = refused(door, future);
  EXPECT_THAT(refusal.why, HasSubstr("protocol version 9"));
  EXPECT_TRUE(refusal.answer && !refusal.answer->retry);
}

TEST(GuestAdmission, KeysAreAskedForOnlyWhereThereIsAList) {
  const PublicKey known{1};
  const PublicKey unknown{2};
  EXPECT_TRUE(admission(1).admits(unknown));
  const GuestAdmission listed({.introduction = introduction(),
                               .admitted = std::set<PublicKey>{known},
                               .max_guests = 1,
                               .busy_answer = ""});
  EXPECT_TRUE(listed.admits(known));
  EXPECT_FALSE(listed.admits(unknown));
}

TEST(GuestAdmission, AnAnswerFitsIntoAFrame) {
  GuestAdmission door({.introduction = introduction(),
                       .admitted = std::nullopt,
                       .max_guests = 1,
                       .busy_answer = std::string(5000, 'x')});
  let_in(door, hello(1));
  EXPECT_EQ(refused(door, hello(2)).answer->reason.size(), wire::kMaxTextBytes);
}

}  // namespace
}  // namespace ptrain::net
