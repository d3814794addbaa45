#include "libcommon/reduce/part_message.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "schemas/reduce.capnp.h"

namespace ptrain::reduce {
namespace {

using testing::HasSubstr;

SumPart some_part() {
  return {.sum = SumId(77),
          .name = {.kind = PartKind::total, .lanes = {4, 8}, .piece = 12},
          .bytes = wire::Buffer::copy_of(std::vector<std::byte>(100, std::byte{3}))};
}

// What the reader says of a message; "" if nothing is wrong with it.
std::string complaint(PartReader& reader, const wire::Message& message) {
  const auto taken = reader.take(message);
  const auto* malformed = std::get_if<wire::Malformed>(&taken);
  return malformed == nullptr ? "" : malformed->why;
}

// A name with other numbers, and nothing after it.
wire::Message named(SumPart part, std::uint64_t bytes, std::uint8_t kind = 0) {
  capnp::MallocMessageBuilder builder;
  auto root = builder.initRoot<schema::ReducePart>();
  root.setKind(kind);
  root.setFirstLane(part.name.lanes.first);
  root.setEndLane(part.name.lanes.end);
  root.setBytes(bytes);
  const kj::Array<capnp::word> words = capnp::messageToFlatArray(builder);
  wire::Message message = part_messages(part)[0];
  message.payload = wire::Buffer::copy_of(std::as_bytes(std::span(words.begin(), words.size())));
  return message;
}

TEST(PartMessage, ComesBackWholeAndItsBytesAreNotCopied) {
  const SumPart part = some_part();
  const auto messages = part_messages(part);
  EXPECT_EQ(messages[1].payload.data(), part.bytes.data());
  PartReader reader;
  for (int i = 0; i < 2; ++i) {
    const auto first = reader.take(messages[0]);
    ASSERT_TRUE(std::holds_alternative<std::optional<SumPart>>(first));
    EXPECT_FALSE(std::get<0>(first));
    const auto second = reader.take(messages[1]);
    ASSERT_TRUE(std::get<0>(second));
    EXPECT_EQ(std::get<0>(second)->sum, part.sum);
    EXPECT_EQ(std::get<0>(second)->name, part.name);
    EXPECT_EQ(std::get<0>(second)->bytes.data(), part.bytes.data());
  }
}

TEST(PartMessage, HasTheUrgencyOfSums) {
  for (const wire::Message& message : part_messages(some_part())) {
    EXPECT_EQ(wire::urgency_of(message.name.kind), wire::Urgency::reduce);
    EXPECT_FALSE(wire::flaw_of(message.tensor, message.payload.size()));
    EXPECT_EQ(message.name.step, Step(77));
  }
  EXPECT_LE(part_messages(some_part())[0].payload.size(), kMaxPartNameBytes);
}

TEST(PartMessage, BytesWithoutANameAndNamesWithoutBytesAreRefused) {
  const auto messages = part_messages(some_part());
  PartReader reader;
  EXPECT_THAT(complaint(reader, messages[1]), HasSubstr("where its part of a sum was to come"));
  EXPECT_EQ(complaint(reader, messages[0]), "");
  EXPECT_THAT(complaint(reader, messages[0]), HasSubstr("where its bytes of a part was to come"));
}

TEST(PartMessage, BytesOfAnotherSizeAreRefused) {
  auto messages = part_messages(some_part());
  PartReader reader;
  EXPECT_EQ(complaint(reader, messages[0]), "");
  messages[1].payload = messages[1].payload.slice(0, 99);
  EXPECT_THAT(complaint(reader, messages[1]),
              HasSubstr("99 bytes of total of lanes 4 to 7, piece 12, which were said to be 100"));
}

TEST(PartMessage, WhatNoMemberSendsIsRefused) {
  const auto refusal = [](const wire::Message& message) {
    PartReader reader;
    return complaint(reader, message);
  };
  SumPart part = some_part();
  EXPECT_EQ(refusal(named(part, kMaxPartBytes)), "");
  EXPECT_THAT(refusal(named(part, kMaxPartBytes + 1)), HasSubstr("at most 67108864 allowed"));
  EXPECT_EQ(refusal(named(part, 0, 1)), "");
  EXPECT_THAT(refusal(named(part, 0, 2)), HasSubstr("kind 2"));
  part.name.lanes = {kMaxLanes - 1, kMaxLanes};
  EXPECT_EQ(refusal(named(part, 0)), "");
  for (const LaneRange lanes :
       {LaneRange{kMaxLanes, kMaxLanes + 1}, LaneRange{3, 3}, LaneRange{5, 4}}) {
    part.name.lanes = lanes;
    EXPECT_THAT(refusal(named(part, 0)), HasSubstr("lanes"));
  }
  wire::Message large = part_messages(some_part())[0];
  large.payload = wire::MutableBuffer(kMaxPartNameBytes + 8).freeze();
  EXPECT_THAT(refusal(large), HasSubstr("at most 256 allowed"));
  large.payload = {};
  EXPECT_THAT(refusal(large), HasSubstr("name of a part of 0 bytes"));
}

}  // namespace
}  // namespace ptrain::reduce
