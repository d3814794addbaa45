// Requests and answers as bytes and back, and bytes that are neither.

#include "libcommon/transfer/protocol.h"

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ptrain::transfer {
namespace {

using testing::HasSubstr;

const ckpt::CheckpointId kId{sha256("checkpoint")};

TEST(TransferProtocol, EveryRequestComesBackAsItWas) {
  const Request requests[] = {
      ListRequest{}, ManifestRequest{kId}, RecordRequest{kId, StageIndex(999)},
      ChunkRequest{.id = kId, .stage = StageIndex(3), .part = Part::optim, .chunk = 4'000'000'000}};
  for (const Request& request : requests) {
    const wire::Message message = request_message(77, request);
    EXPECT_EQ(message.name.step, Step(77));
    EXPECT_EQ(urgency_of(message.name.kind), wire::Urgency::control);
    EXPECT_LE(message.payload.size(), kMaxRequestBytes);
    EXPECT_EQ(std::get<Request>(read_request(message)), request) << to_string(request);
  }
}

TEST(TransferProtocol, EveryAnswerComesBackAsItWas) {
  const Listing listing{
      {.step = Step(9), .id = kId, .stage_count = 3, .held = {StageIndex(0), StageIndex(2)}},
      {.step = Step(1), .id = {}, .stage_count = 1, .held = {}}};
  const Answer answers[] = {listing, Refusal{Refusal::Kind::damaged, "it is damaged here"}};
  for (const Answer& answer : answers) {
    EXPECT_EQ(std::get<Answer>(read_answer(answer_message(5, answer))), answer);
  }
}

TEST(TransferProtocol, TheLongestListingFitsIntoAnAnswer) {
  Listing listing(kMaxListed, Entry{.step = Step(1), .id = kId, .stage_count = 1000, .held = {}});
  for (Entry& entry : listing) {
    for (std::uint32_t stage = 0; stage < 1000; ++stage) entry.held.emplace_back(stage);
  }
  EXPECT_TRUE(std::holds_alternative<Answer>(read_answer(answer_message(1, listing))));
  listing.push_back(listing.front());
  const auto refused = read_answer(answer_message(1, listing));
  EXPECT_THAT(std::get<wire::Malformed>(refused).why, HasSubstr("65 checkpoints"));
}

TEST(TransferProtocol, ValuesThatCannotBeAreRefused) {
  const auto why = [](const Request& request) {
    return std::get<wire::Malformed>(read_request(request_message(1, request))).why;
  };
  EXPECT_THAT(why(RecordRequest{kId, StageIndex(1000)}), HasSubstr("stage 1000"));
  EXPECT_THAT(why(ChunkRequest{.id = kId, .part = static_cast<Part>(3)}), HasSubstr("part 3"));
  const auto held_twice = answer_message(
      1,
      Listing{
          {.step = Step(1), .id = kId, .stage_count = 2, .held = {StageIndex(1), StageIndex(1)}}});
  EXPECT_TRUE(std::holds_alternative<wire::Malformed>(read_answer(held_twice)));
}

TEST(TransferProtocol, AMessageOfAnotherKindIsNoRequest) {
  const wire::Message message = bytes_message(1, wire::Buffer());
  EXPECT_TRUE(std::holds_alternative<wire::Malformed>(read_request(message)));
}

TEST(TransferProtocol, DamagedBytesAreRefusedOrReadWithinBounds) {
  const wire::Message good = request_message(
      1, ChunkRequest{.id = kId, .stage = StageIndex(1), .part = Part::model, .chunk = 2});
  std::mt19937_64 random(3);
  int refused = 0;
  int read = 0;
  for (int i = 0; i < 20000; ++i) {
    std::vector<std::byte> bytes(good.payload.bytes().begin(), good.payload.bytes().end());
    for (int flips = 0; flips < 3; ++flips) {
      bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    }
    bytes.resize(random() % (bytes.size() + 1));
    wire::Message bad = good;
    bad.payload = wire::Buffer::copy_of(bytes);
    ++(std::holds_alternative<wire::Malformed>(read_request(bad)) ? refused : read);
    ++(std::holds_alternative<wire::Malformed>(read_answer(bad)) ? refused : read);
  }
  EXPECT_GT(refused, 0);
  EXPECT_GT(read, 0);
}

}  // namespace
}  // namespace ptrain::transfer
