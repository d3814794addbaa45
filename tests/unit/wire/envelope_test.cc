#include "libcommon/wire/envelope.h"

#include <random>

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/base/error.h"
#include "schemas/envelope.capnp.h"

namespace ptrain::wire {
namespace {

using testing::HasSubstr;

Frame decoded(const Frame& frame, Buffer payload = {}) {
  auto result = decode_frame(encode_header(frame, 1), std::move(payload));
  if (auto* malformed = std::get_if<Malformed>(&result)) throw std::runtime_error(malformed->why);
  return std::get<NumberedFrame>(result).frame;
}

std::string refusal(std::span<const std::byte> header, Buffer payload = {}) {
  auto result = decode_frame(header, std::move(payload));
  if (auto* malformed = std::get_if<Malformed>(&result)) return malformed->why;
  ADD_FAILURE() << "it was accepted";
  return "";
}

// A header that the schema allows and our own encoder would not write.
template <class Fill>
std::vector<std::byte> header_of(Fill fill) {
  capnp::MallocMessageBuilder message;
  auto envelope = message.initRoot<schema::Envelope>();
  envelope.setMagic(kMagic);
  envelope.setVersion(kProtocolVersion);
  fill(envelope);
  const auto words = capnp::messageToFlatArray(message);
  const auto bytes = std::as_bytes(std::span(words.begin(), words.size()));
  return {bytes.begin(), bytes.end()};
}

Hello some_hello() {
  return {.version = kProtocolVersion,
          .run = "run",
          .job_hash = "hash",
          .stage_count = 4,
          .data_fingerprint = "data",
          .stage = StageIndex(2),
          .incarnation = 0xdeadbeef12345678,
          .to = 0x12345678deadbeef,
          .link = {.purpose = Purpose::bulk, .number = 0xfeed, .line = 0xf00d},
          .received = {.received = {{{.next = 1, .credit_limit = 2},
                                     {.next = 3, .credit_limit = 4},
                                     {.next = 5, .credit_limit = 6}}},
                       .goodbye = true,
                       .pong = 5,
                       .links = {{.link = 7, .ordinal = 8}, {.link = 9, .ordinal = 1ull << 40}}},
          .terms = "{}"};
}

Data some_data() {
  Data data;
  data.urgency = Urgency::reduce;
  data.sequence = 77;
  data.checksum = 0x123456789abcdef0;
  data.start = MessageStart{.name = {.epoch = 1,
                                     .step = Step(2),
                                     .microbatch = MicrobatchIndex(3),
                                     .kind = MessageKind::gradient,
                                     .source = StageIndex(4)},
                            .tensor = {.dtype = DType::float32, .shape = {2, 3}, .codec = ""},
                            .payload_bytes = 24};
  return data;
}

TEST(Envelope, EveryKindOfFrameComesBackAsItWas) {
  EXPECT_EQ(std::get<Hello>(decoded(some_hello())), some_hello());
  const Acknowledgement acknowledgement = some_hello().received;
  EXPECT_EQ(std::get<Acknowledgement>(decoded(acknowledgement)), acknowledgement);
  const Ping ping{.number = 9, .padding = kMaxPingPadding};
  EXPECT_EQ(std::get<Ping>(decoded(ping)), ping);
  const Goodbye goodbye{.failed = true, .reason = "why", .frames = {1, 2, 3}};
  EXPECT_EQ(std::get<Goodbye>(decoded(goodbye)), goodbye);

  const Data data = some_data();
  const Buffer payload = Buffer::copy_of(std::vector<std::byte>(24, std::byte{7}));
  const Data back = std::get<Data>(decoded(data, payload));
  EXPECT_EQ(back.urgency, data.urgency);
  EXPECT_EQ(back.sequence, data.sequence);
  EXPECT_EQ(back.checksum, data.checksum);
  EXPECT_EQ(back.start, data.start);
  EXPECT_EQ(back.payload.data(), payload.data()) << "shared, not copied";
}

TEST(Envelope, APingIsPaddedWithinItsLimitOnly) {
  EXPECT_THAT(refusal(encode_header(Ping{.number = 1, .padding = kMaxPingPadding + 1}, 1)),
              HasSubstr("padding, at most 32768"));
}

TEST(Envelope, AHelloSaysItsTermsWithinTheirLimitOnly) {
  Hello hello = some_hello();
  hello.terms = std::string(kMaxTermsBytes, 'x');
  EXPECT_EQ(std::get<Hello>(decoded(hello)), hello);
  hello.terms.push_back('x');
  EXPECT_THROW(encode_header(hello, 1), Error);
  const auto header = header_of([&](auto envelope) { envelope.initHello().setTerms(hello.terms); });
  EXPECT_THAT(refusal(header), HasSubstr("terms of 32769 bytes, at most 32768"));
}

TEST(Envelope, HeadersAreSmall) {
  EXPECT_LT(encode_header(some_data(), 1).size(), 300u);
  const Acknowledgement usual{.links = {{.link = 1, .ordinal = 1}}};  // three urgencies, one link
  EXPECT_LT(encode_header(usual, 1).size(), 200u);
}

TEST(Envelope, ReadsHeadersAtAnyAddress) {
  const auto header = encode_header(some_hello(), 1);
  for (std::size_t shift = 0; shift < 8; ++shift) {
    std::vector<std::byte> shifted(shift);
    shifted.insert(shifted.end(), header.begin(), header.end());
    const auto result = decode_frame(std::span(shifted).subspan(shift), {});
    EXPECT_TRUE(std::holds_alternative<NumberedFrame>(result));
  }
}

TEST(Envelope, AHelloOfAnotherVersionIsReadAndAnythingElseIsNot) {
  Hello hello = some_hello();
  hello.version = 9;
  EXPECT_EQ(std::get<Hello>(decoded(hello)).version, 9);
  const auto ping = header_of([](auto envelope) {
    envelope.setVersion(9);
    envelope.initPing();
  });
  EXPECT_THAT(refusal(ping), HasSubstr(fmt::format("version 9, ours is {}", kProtocolVersion)));
}

TEST(Envelope, RefusesAnotherMagic) {
  const auto header = header_of([](auto envelope) {
    envelope.setMagic(1);
    envelope.initPing();
  });
  EXPECT_THAT(refusal(header), HasSubstr("magic 0x1"));
}

TEST(Envelope, RefusesSizesThatNoHeaderHas) {
  EXPECT_THAT(refusal({}), HasSubstr("0 bytes"));
  EXPECT_THAT(refusal(std::vector<std::byte>(7)), HasSubstr("whole number of words"));
  EXPECT_THAT(refusal(std::vector<std::byte>(kMaxHeaderBytes + 8)), HasSubstr("at most 65536"));
  EXPECT_THAT(refusal(std::vector<std::byte>(kMaxHeaderBytes, std::byte{0xff})),
              testing::Not(HasSubstr("at most")));
}

TEST(Envelope, RefusesNumbersThatMeanNothing) {
  const auto hello = header_of([](auto envelope) { envelope.initHello().setPurpose(2); });
  EXPECT_THAT(refusal(hello), HasSubstr("purpose 2"));
  const auto urgency = header_of([](auto envelope) { envelope.initData().setUrgency(3); });
  EXPECT_THAT(refusal(urgency), HasSubstr("urgency 3"));
  const auto report = header_of(
      [](auto envelope) { envelope.initAcknowledgement().initLinks(kMaxLinkReports + 1); });
  EXPECT_THAT(refusal(report), HasSubstr("65 connections, at most 64"));
  const auto kind = header_of([](auto envelope) {
    auto data = envelope.initData();
    data.setBegins(true);
    data.initName().setKind(kMessageKinds);
  });
  EXPECT_THAT(refusal(kind), HasSubstr("message kind " + std::to_string(kMessageKinds)));
  const auto dtype = header_of([](auto envelope) {
    auto data = envelope.initData();
    data.setUrgency(1);
    data.setBegins(true);
    data.initTensor().setDtype(kDTypes);
  });
  EXPECT_THAT(refusal(dtype), HasSubstr("element type 10"));
}

TEST(Envelope, RefusesATensorThatIsNotItsPayload) {
  Data data = some_data();
  data.start->payload_bytes = 25;
  EXPECT_THAT(refusal(encode_header(data, 1)), HasSubstr("24 bytes with a payload of 25"));
  data.start->tensor.shape = std::vector<std::int64_t>(kMaxRank + 1, 1);
  EXPECT_THAT(refusal(encode_header(data, 1)), HasSubstr("rank 9"));
}

TEST(Envelope, RefusesTextsJustAboveTheLimit) {
  Goodbye goodbye{.failed = true, .reason = std::string(kMaxTextBytes, 'x')};
  EXPECT_EQ(std::get<Goodbye>(decoded(goodbye)).reason, goodbye.reason);
  goodbye.reason += 'x';
  EXPECT_THROW(encode_header(goodbye, 1), Error);
  const auto header =
      header_of([&](auto envelope) { envelope.initGoodbye().setReason(goodbye.reason.c_str()); });
  EXPECT_THAT(refusal(header), HasSubstr("1025 bytes, at most 1024"));
}

TEST(Envelope, RefusesPayloadsWhereNoneBelongAndFramesTooLong) {
  const Buffer byte = Buffer::copy_of(std::vector<std::byte>(1));
  EXPECT_THAT(refusal(encode_header(Ping{}, 1), byte), HasSubstr("where none belongs"));
  const Buffer at = Buffer::copy_of(std::vector<std::byte>(kMaxFrameBytes));
  const Buffer above = Buffer::copy_of(std::vector<std::byte>(kMaxFrameBytes + 1));
  Data data;  // of the middle of a message
  data.sequence = 78;
  EXPECT_TRUE(std::holds_alternative<NumberedFrame>(decode_frame(encode_header(data, 1), at)));
  EXPECT_THAT(refusal(encode_header(data, 1), above), HasSubstr("at most 1048576"));
}

TEST(Envelope, RandomDamageIsRefusedOrUnderstoodAndNeverMore) {
  const auto header = encode_header(some_data(), 1);
  std::mt19937_64 random(1);
  int refused = 0;
  int understood = 0;
  for (int i = 0; i < 20000; ++i) {
    auto damaged = header;
    for (int flips = 0; flips < 1 + i % 4; ++flips) {
      damaged[random() % damaged.size()] = static_cast<std::byte>(random());
    }
    damaged.resize(random() % 10 == 0 ? random() % damaged.size() : damaged.size());
    const auto read = decode_frame(damaged, {});
    ++(std::holds_alternative<Malformed>(read) ? refused : understood);
  }
  EXPECT_GT(refused, 0);
  EXPECT_GT(understood, 0);
}

TEST(Envelope, AFrameKeepsItsPlaceOnItsConnection) {
  const auto read = decode_frame(encode_header(some_hello(), 1ull << 40), {});
  ASSERT_TRUE(std::holds_alternative<NumberedFrame>(read));
  EXPECT_EQ(std::get<NumberedFrame>(read).ordinal, 1ull << 40);
}

}  // namespace
}  // namespace ptrain::wire
