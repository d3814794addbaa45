#include "libcommon/wire/message.h"

#include <cstdint>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ptrain::wire {
namespace {

using testing::HasSubstr;

TEST(Message, EveryKindHasANameAndAnUrgency) {
  for (std::uint16_t i = 0; i < kMessageKinds; ++i) {
    const auto kind = static_cast<MessageKind>(i);
    EXPECT_FALSE(name_of(kind).empty());
    if (kind > MessageKind::retired11) continue;  // those after it are not in that order
    EXPECT_EQ(urgency_of(kind),
              kind < MessageKind::step_report ? Urgency::pipeline : Urgency::control);
  }
}

TEST(Message, ItsNameIsReadable) {
  EXPECT_EQ(to_string(MessageName{.epoch = 0,
                                  .step = Step(12),
                                  .microbatch = MicrobatchIndex(3),
                                  .kind = MessageKind::activation,
                                  .source = StageIndex(1)}),
            "activation of step 12, microbatch 3, from stage 1");
}

TEST(TensorInfo, ARawPayloadMustBeItsElements) {
  const TensorInfo tensor{.dtype = DType::bfloat16, .shape = {4, 5}, .codec = ""};
  EXPECT_FALSE(flaw_of(tensor, 40));
  EXPECT_TRUE(flaw_of(tensor, 39));
  EXPECT_TRUE(flaw_of(tensor, 41));
}

TEST(TensorInfo, AScalarHasOneElementAndAnEmptyTensorNone) {
  EXPECT_FALSE(flaw_of({.dtype = DType::float64, .shape = {}, .codec = ""}, 8));
  EXPECT_FALSE(flaw_of({.dtype = DType::float64, .shape = {3, 0}, .codec = ""}, 0));
}

TEST(TensorInfo, OpaqueBytesAndCodecsMayHaveAnySize) {
  EXPECT_FALSE(flaw_of({}, 12345));
  EXPECT_FALSE(flaw_of({.dtype = DType::float32, .shape = {100}, .codec = "int8"}, 108));
}

TEST(TensorInfo, LimitsHaveTwoSides) {
  const auto of_rank = [](std::size_t rank) {
    return TensorInfo{
        .dtype = DType::int8, .shape = std::vector<std::int64_t>(rank, 1), .codec = ""};
  };
  EXPECT_FALSE(flaw_of(of_rank(kMaxRank), 1));
  EXPECT_TRUE(flaw_of(of_rank(kMaxRank + 1), 1));
  const auto with_codec = [](std::size_t chars) {
    return TensorInfo{.dtype = DType::int8, .shape = {1}, .codec = std::string(chars, 'c')};
  };
  EXPECT_FALSE(flaw_of(with_codec(kMaxCodecNameBytes), 1));
  EXPECT_TRUE(flaw_of(with_codec(kMaxCodecNameBytes + 1), 1));
}

TEST(TensorInfo, NegativeAndOverflowingShapesAreFlaws) {
  constexpr auto kHuge = std::numeric_limits<std::int64_t>::max();
  EXPECT_THAT(*flaw_of({.dtype = DType::int8, .shape = {-1}, .codec = "x"}, 0),
              HasSubstr("-1 is negative"));
  EXPECT_THAT(*flaw_of({.dtype = DType::float64, .shape = {kHuge, 4}, .codec = "x"}, 0),
              HasSubstr("overflows"));
}

TEST(Buffer, SlicesShareTheirOwner) {
  MutableBuffer memory(100);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory.data()) % kBufferAlignment, 0u);
  memory.data()[40] = std::byte{9};
  Buffer slice;
  {
    const Buffer whole = std::move(memory).freeze();
    slice = whole.slice(40, 2);
    EXPECT_EQ(slice.data(), whole.data() + 40);
  }
  EXPECT_EQ(slice.data()[0], std::byte{9}) << "the slice keeps the memory";
}

TEST(Buffer, NothingIsABufferToo) {
  EXPECT_TRUE(MutableBuffer(0).freeze().empty());
  EXPECT_TRUE(Buffer::copy_of({}).empty());
}

}  // namespace
}  // namespace ptrain::wire
