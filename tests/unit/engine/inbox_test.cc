#include "tools/stage/engine/inbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ptrain::stage {
namespace {

using wire::MessageKind;

constexpr std::uint32_t kMicrobatches = 4;

wire::MessageName name(MessageKind kind, std::uint64_t step, std::uint32_t source,
                       std::uint32_t microbatch = 0) {
  return name_of(kind, Step(step), {StageIndex(source), LaneIndex(0)}, MicrobatchIndex(microbatch));
}

Letter letter(const wire::MessageName& called, std::byte content = std::byte{1}) {
  Letter letter;
  letter.message.name = called;
  letter.message.payload = wire::Buffer::copy_of({&content, 1});
  return letter;
}

// The second of four stages.
class InboxTest : public testing::Test {
 protected:
  void refuses(const wire::MessageName& called, const char* why) {
    try {
      inbox_.put(letter(called));
      ADD_FAILURE() << wire::to_string(called) << " was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::corrupt);
      EXPECT_THAT(error.what(), testing::HasSubstr(wire::to_string(called)));
      EXPECT_THAT(error.what(), testing::HasSubstr(why));
    }
  }

  Inbox inbox_{Place(StageIndex(1), 4), kMicrobatches};
};

TEST_F(InboxTest, MessagesAreFoundByNameWhateverTheirOrder) {
  for (const std::uint32_t microbatch : {2, 0, 1}) {
    inbox_.put(letter(name(MessageKind::activation, 5, 0, microbatch), std::byte(microbatch)));
  }
  for (const std::uint32_t microbatch : {0, 1, 2}) {
    const auto message = inbox_.take(name(MessageKind::activation, 5, 0, microbatch));
    ASSERT_TRUE(message);
    EXPECT_EQ(message->payload.bytes()[0], std::byte(microbatch));
  }
  EXPECT_FALSE(inbox_.take(name(MessageKind::activation, 5, 0, 3)));
}

TEST_F(InboxTest, OneThatComesAgainIsDroppedBeforeAndAfterItWasConsumed) {
  const auto called = name(MessageKind::gradient, 5, 2, 1);
  inbox_.put(letter(called, std::byte{1}));
  inbox_.put(letter(called, std::byte{2}));
  EXPECT_EQ(inbox_.size(), 1u);
  EXPECT_EQ(inbox_.take(called)->payload.bytes()[0], std::byte{1});
  inbox_.put(letter(called));
  inbox_.put(letter(name(MessageKind::gradient, 5, 2, 0)));  // and what was before it
  EXPECT_EQ(inbox_.size(), 0u);
  inbox_.put(letter(name(MessageKind::gradient, 5, 2, 2)));
  EXPECT_EQ(inbox_.size(), 1u);
}

TEST_F(InboxTest, TheCreditOfAMessageEndsWhenItIsConsumedOrDropped) {
  int given_back = 0;
  const auto credited = [&](std::uint32_t microbatch) {
    Letter one = letter(name(MessageKind::activation, 5, 0, microbatch));
    one.credit = net::Credit([&] { ++given_back; });
    return one;
  };
  inbox_.put(credited(0));
  inbox_.put(credited(1));
  EXPECT_EQ(given_back, 0);
  inbox_.take(name(MessageKind::activation, 5, 0, 0));
  EXPECT_EQ(given_back, 1);
  inbox_.put(credited(0));  // again
  EXPECT_EQ(given_back, 2);
  inbox_.reached(Step(6));
  EXPECT_EQ(given_back, 3);
}

TEST_F(InboxTest, WhatNobodyShouldSendHereIsRefusedByName) {
  const char* nobody = "stage 1 of 4 expects none from there";
  refuses(name(MessageKind::activation, 5, 2), nobody);
  refuses(name(MessageKind::activation, 5, 1), nobody);
  refuses(name(MessageKind::gradient, 5, 0), nobody);
  refuses(name(MessageKind::gradient, 5, 3), nobody);
  refuses(name(MessageKind::step_verdict, 5, 2), nobody);
  refuses(name(MessageKind::checkpoint_manifest, 5, 2), nobody);
  refuses(name(MessageKind::resume_choice, 0, 2), nobody);
  refuses(name(MessageKind::step_report, 5, 2), nobody);
  refuses(name(MessageKind::eval_report, 5, 3), nobody);
  refuses(name(MessageKind::tied_gradient, 5, 0), nobody);
  refuses(name(MessageKind::transfer_request, 5, 0), nobody);
  auto other_epoch = name(MessageKind::activation, 5, 0);
  other_epoch.epoch = 1;
  refuses(other_epoch, "epoch 1 of a job that has one");
  EXPECT_EQ(inbox_.size(), 0u);
}

TEST_F(InboxTest, TheDriverHearsReportsOfAllStagesThatThereAre) {
  Inbox driver(Place(StageIndex(0), 4), kMicrobatches);
  for (const std::uint32_t source : {1, 2, 3}) {
    EXPECT_NO_THROW(driver.put(letter(name(MessageKind::step_report, 5, source))));
  }
  EXPECT_THROW(driver.put(letter(name(MessageKind::step_report, 5, 4))), Error);
  EXPECT_THROW(driver.put(letter(name(MessageKind::step_report, 5, 0))), Error);
  EXPECT_NO_THROW(driver.put(letter(name(MessageKind::tied_gradient, 5, 3))));
  EXPECT_THROW(driver.put(letter(name(MessageKind::tied_gradient, 5, 2))), Error);
}

TEST_F(InboxTest, NamesAreThoseOfTheStepUnderWayAndTheNext) {
  inbox_.reached(Step(5));
  inbox_.put(letter(name(MessageKind::activation, 5, 0, kMicrobatches - 1)));
  inbox_.put(letter(name(MessageKind::activation, 6, 0, 0)));
  EXPECT_EQ(inbox_.size(), 2u);
  refuses(name(MessageKind::activation, 7, 0, 0), "step 5 is under way here");
  refuses(name(MessageKind::activation, 5, 0, kMicrobatches), "a step has 4 microbatches");
  refuses(name(MessageKind::step_verdict, 5, 0, 1), "a step has 1 microbatches");
  inbox_.put(letter(name(MessageKind::activation, 4, 0, 0)));  // of a step that is over
  EXPECT_EQ(inbox_.size(), 2u);
}

TEST_F(InboxTest, BeforeTheStagesHaveAgreedWhereToBeginAnyStepMayCome) {
  inbox_.put(letter(name(MessageKind::activation, 80, 0, 0)));
  inbox_.put(letter(name(MessageKind::activation, 7, 0, 0)));
  inbox_.reached(Step(80));
  EXPECT_TRUE(inbox_.has(name(MessageKind::activation, 80, 0, 0)));
  EXPECT_EQ(inbox_.size(), 1u);
}

job::CellIndex cell(std::uint32_t stage, std::uint32_t lane) {
  return {StageIndex(stage), LaneIndex(lane)};
}

// Two stages in three lanes of seven microbatches: ours is the second stage's lane 1; another
// process holds its lanes 0 and 2, and a third all of the first stage.
class LaneInboxTest : public testing::Test {
 protected:
  static constexpr std::uint32_t kAll = 7;

  void refuses(const wire::MessageName& called, const char* why) {
    try {
      inbox_.put(letter(called));
      ADD_FAILURE() << wire::to_string(called) << " was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::corrupt);
      EXPECT_THAT(error.what(), testing::HasSubstr(why));
    }
  }
  static wire::MessageName activation(std::uint32_t lane, std::uint32_t microbatch) {
    return name_of(MessageKind::activation, Step(5), cell(0, lane), MicrobatchIndex(microbatch));
  }

  Inbox inbox_{Place(WorkerIndex(2),
                     job::Layout({.stages = 2, .lanes = 3}, {{cell(0, 0), cell(0, 1), cell(0, 2)},
                                                             {cell(1, 0), cell(1, 2)},
                                                             {cell(1, 1)}})),
               kAll};
};

TEST_F(LaneInboxTest, TakesTheMicrobatchesOfItsOwnLanesAndNoOthers) {
  for (const std::uint32_t microbatch : {3, 4}) inbox_.put(letter(activation(1, microbatch)));
  EXPECT_EQ(inbox_.size(), 2u);
  refuses(activation(1, 2), "lane 1 has microbatches 3 to 4");
  refuses(activation(1, 5), "lane 1 has microbatches 3 to 4");
  refuses(activation(0, 0), "expects none from there");
  refuses(activation(3, 0), "the job has 2 stages and 3 lanes");
}

TEST_F(LaneInboxTest, PartsOfASumAreTakenFromTheOtherHoldersOfTheStageInAnyOrder) {
  const auto part = [](const job::CellIndex& from, std::uint64_t number) {
    return name_of(MessageKind::reduce_part, Step(5), from, MicrobatchIndex(0), number);
  };
  inbox_.reached(Step(5));
  inbox_.put(letter(part(cell(1, 0), 9), std::byte{9}));
  inbox_.put(letter(part(cell(1, 0), 4), std::byte{4}));
  EXPECT_EQ(inbox_.take_any(MessageKind::reduce_part, Step(5))->name.part, 4u);
  EXPECT_EQ(inbox_.take_any(MessageKind::reduce_part, Step(5))->name.part, 9u);
  EXPECT_FALSE(inbox_.take_any(MessageKind::reduce_part, Step(5)));
  inbox_.put(letter(part(cell(1, 0), 3)));  // below one that was consumed: parts have no order
  EXPECT_FALSE(inbox_.take_any(MessageKind::reduce_part, Step(6)));
  inbox_.reached(Step(6));
  EXPECT_EQ(inbox_.size(), 0u) << "a step that is over needs no part";
  refuses(part(cell(1, 2), 0), "expects none from there");  // it speaks in its lowest lane's name
  refuses(part(cell(0, 0), 0), "expects none from there");
  refuses(part(cell(1, 1), 0), "expects none from there");
}

TEST_F(LaneInboxTest, TheStateComesFromWhoLeadsTheStage) {
  inbox_.put(letter(name_of(MessageKind::cell_state, Step(40), cell(1, 0), MicrobatchIndex(0), 7)));
  EXPECT_EQ(inbox_.size(), 1u);
  refuses(name_of(MessageKind::cell_state, Step(40), cell(0, 0), MicrobatchIndex(0), 7),
          "expects none from there");
  refuses(name_of(MessageKind::resume_offer, Step(0), cell(1, 0)), "expects none from there");
  auto odd = activation(1, 3);
  odd.part = 1;
  refuses(odd, "it has no parts");
}

}  // namespace
}  // namespace ptrain::stage
