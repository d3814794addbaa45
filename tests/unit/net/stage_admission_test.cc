// Whose connection a stage's is, when several keys claim it.

#include "libcommon/net/stage_admission.h"

#include <string>
#include <variant>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/wire/envelope.h"

namespace ptrain::net {
namespace {

using testing::HasSubstr;

constexpr StageIndex kStage{1};

PublicKey key(std::uint8_t byte) {
  PublicKey key{};
  key.fill(byte);
  return key;
}

Verdict judge(StageAdmission& door, std::uint8_t byte) {
  wire::Hello hello;
  hello.version = wire::kProtocolVersion;
  hello.stage = kStage;
  hello.incarnation = byte;
  return door.judge({.hello = hello, .key = to_hex(key(byte))});
}

bool is_let_in(StageAdmission& door, std::uint8_t byte) {
  return std::holds_alternative<PeerHandle>(judge(door, byte));
}

TEST(StageAdmission, BeforeAStageWasMetItsLatestClaimCounts) {
  StageAdmission door({}, true);
  EXPECT_FALSE(is_let_in(door, 1));
  EXPECT_TRUE(door.admit(role_of(kStage), key(1)));
  EXPECT_TRUE(door.admit(role_of(kStage), key(2)));
  EXPECT_FALSE(door.admits(key(1)));
  EXPECT_TRUE(door.admits(key(2)));
  EXPECT_FALSE(is_let_in(door, 1));
  EXPECT_TRUE(is_let_in(door, 2));
}

TEST(StageAdmission, AStageThatWasMetKeepsItsKeyAndTheOtherIsTold) {
  StageAdmission door({}, true);
  door.admit(role_of(kStage), key(1));
  EXPECT_TRUE(is_let_in(door, 1));
  EXPECT_FALSE(door.admit(role_of(kStage), key(2)));
  EXPECT_TRUE(door.admit(role_of(kStage), key(1)));
  EXPECT_TRUE(door.admits(key(2))) << "it could not be told otherwise";
  const Verdict verdict = judge(door, 2);
  ASSERT_TRUE(std::holds_alternative<Rejection>(verdict));
  const auto& answer = std::get<Rejection>(verdict).answer;
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->retry);
  EXPECT_THAT(answer->reason, HasSubstr("another process is stage 1"));
  EXPECT_TRUE(is_let_in(door, 1));
}

TEST(StageAdmission, AConnectionThatWeMadeIsAMeetingToo) {
  StageAdmission door({}, true);
  door.admit(role_of(kStage), key(1));
  door.met(StageAdmission::handle_of(kStage));
  EXPECT_FALSE(door.admit(role_of(kStage), key(2)));
}

TEST(StageAdmission, WhoseEndpointIsNamedIsToldWhatIsWrongWithIt) {
  StageAdmission door({{kStage, key(1)}, {StageIndex(2), key(2)}}, true);
  const Verdict another = judge(door, 2);
  ASSERT_TRUE(std::holds_alternative<Rejection>(another));
  const Rejection& refusal = std::get<Rejection>(another);
  EXPECT_THAT(refusal.why, testing::AllOf(HasSubstr(to_hex(key(2))), HasSubstr(to_hex(key(1)))));
  ASSERT_TRUE(refusal.answer);
  EXPECT_FALSE(refusal.answer->retry);
  EXPECT_THAT(refusal.answer->reason,
              testing::AllOf(HasSubstr("endpoint of stage 1"), HasSubstr("#" + to_hex(key(1))),
                             HasSubstr("#" + to_hex(key(2)))));
  EXPECT_TRUE(is_let_in(door, 1));
  EXPECT_THAT(door.remedy_for(key(3)), HasSubstr("must end in #" + to_hex(key(3))));
}

TEST(StageAdmission, AStageThatIsNotExpectedIsToldSoWhereAllAreNamed) {
  StageAdmission named({{StageIndex(3), key(1)}}, true);
  StageAdmission met({}, true);
  const Verdict told = judge(named, 1);
  const Verdict not_yet = judge(met, 1);
  EXPECT_THAT(std::get<Rejection>(told).answer.value().reason,
              HasSubstr("does not expect stage 1"));
  EXPECT_FALSE(std::get<Rejection>(not_yet).answer);
}

TEST(StageAdmission, NewcomersWithoutEndTakeNoMemory) {
  StageAdmission door({}, true);
  door.admit(role_of(kStage), key(0));
  door.met(StageAdmission::handle_of(kStage));
  for (std::uint8_t i = 1; i <= 200; ++i) door.admit(role_of(kStage), key(i));
  std::size_t admitted = 0;
  for (std::uint8_t i = 1; i <= 200; ++i) admitted += door.admits(key(i)) ? 1 : 0;
  EXPECT_EQ(admitted, kMaxNewcomers);
  EXPECT_TRUE(door.admits(key(0)));
}

}  // namespace
}  // namespace ptrain::net
