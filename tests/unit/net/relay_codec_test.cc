#include "libcommon/net/relay_codec.h"

#include <cstring>
#include <random>

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/base/error.h"
#include "schemas/relay.capnp.h"

namespace ptrain::net {
namespace {

using testing::HasSubstr;

PublicKey key_of(std::uint8_t fill) {
  PublicKey key;
  key.fill(fill);
  return key;
}

const Membership kAs{.run_key = key_of(1), .role = "stage-1"};
const Place kPlace{.peer_key = key_of(2), .role = "stage-2"};

SignedRecord record_of(std::size_t bytes) {
  SignedRecord record{.record = std::vector<std::byte>(bytes, std::byte{9})};
  record.signature.fill(7);
  return record;
}

Revocation revocation() {
  Revocation revoked{.run_key = key_of(1), .peer_key = key_of(2), .signature = {}};
  revoked.signature.fill(8);
  return revoked;
}

std::vector<Request> requests() {
  return {{1, request::Register{record_of(96)}},
          {2, request::Renew{kAs, "relay"}},
          {3, request::Leave{kAs}},
          {4, request::LookUp{kAs, "stage-2", kPlace}},
          {5, request::LookUp{kAs}},
          {6, request::Watch{kAs, false}},
          {7, request::Introduce{kAs, kPlace, kMaxPathsPerIntroduction}},
          {8, request::Mirror{.since = 77, .hold_ms = 5000, .listing = 70}},
          {9, request::Forward{key_of(1), kPlace, record_of(96), {{kPlace, 1, "token"}}}},
          {10, request::Forward{key_of(1), kPlace, std::nullopt, {}}},
          {11, request::Claim{kAs, "driver", 7, 5000}},
          {12, request::Revoke{revocation()}},
          {~std::uint64_t{0}, request::Survey{request::Subject::totals, 12}}};
}

std::vector<Answer> answers() {
  return {{1, answer::Refused{Refusal::not_allowed, "no", 250}},
          {2, answer::Granted{60000, 12, "192.0.2.1"}},
          {2, answer::Granted{60000, 12, "192.0.2.1", {7102, 7103}}},
          {8, answer::Claimed{true, 7, kPlace, 5000}},
          {9, answer::Claimed{false, 7, {}, 0}},
          {10, answer::Revoked{revocation()}},
          {11, answer::Mirrored{.records = {}, .gone = {}, .revocations = {revocation()}}},
          {3, answer::Left{}},
          {4, answer::Found{{record_of(96), record_of(8)}, false, 13}},
          {5, answer::Introduced{record_of(96), true, 300, {{kPlace, 0, "abc"}, {kPlace, 1, "d"}}}},
          {0, answer::Appeared{record_of(96), 14}},
          {0, answer::Departed{key_of(1), kPlace, 15}},
          {0, answer::PathToken{kPlace, 3, "token"}},
          {0, answer::PathToken{kPlace, 3, "token", key_of(5)}},
          {0, answer::Farewell{}},
          {6, answer::Surveyed{{"{}", "{\"a\":1}"}, 2}},
          {7, answer::Mirrored{true, {record_of(96)}, {{key_of(1), kPlace}}, 80, false, 90}},
          {8, answer::Forwarded{}}};
}

std::string flaw(std::span<const std::byte> bytes) {
  const auto decoded = decode_request(bytes);
  const auto* malformed = std::get_if<wire::Malformed>(&decoded);
  return malformed == nullptr ? "" : malformed->why;
}

// A request built field by field, so that it can hold what encode() would not write.
template <class Fill>
std::string flaw_of(Fill fill) {
  capnp::MallocMessageBuilder message;
  auto request = message.initRoot<schema::Request>();
  request.setMagic(kRelayMagic);
  request.setVersion(kRelayProtocolVersion);
  request.setId(1);
  fill(request);
  const auto words = capnp::messageToFlatArray(message);
  return flaw(std::as_bytes(std::span(words.begin(), words.size())));
}

void fill_membership(schema::Membership::Builder to) {
  to.initRunKey(32);
  to.setRole("stage-1");
}

TEST(RelayCodec, RequestsReadBackAsTheyWereWritten) {
  for (const Request& request : requests()) {
    const auto decoded = decode_request(encode(request));
    ASSERT_TRUE(std::holds_alternative<Request>(decoded)) << request.id;
    EXPECT_EQ(std::get<Request>(decoded), request);
  }
}

TEST(RelayCodec, AnswersReadBackAsTheyWereWritten) {
  for (const Answer& answer : answers()) {
    const auto decoded = decode_answer(encode(answer));
    ASSERT_TRUE(std::holds_alternative<Answer>(decoded)) << answer.body.index();
    EXPECT_EQ(std::get<Answer>(decoded), answer);
  }
}

TEST(RelayCodec, WhatIsCutShortIsRefused) {
  for (const Request& request : requests()) {
    const auto bytes = encode(request);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_TRUE(
          std::holds_alternative<wire::Malformed>(decode_request(std::span(bytes).first(size))));
    }
  }
}

TEST(RelayCodec, DamageIsRefusedOrHarmless) {
  std::mt19937 random(1);
  for (const Request& request : requests()) {
    for (int i = 0; i < 500; ++i) {
      auto bytes = encode(request);
      bytes[random() % bytes.size()] ^= static_cast<std::byte>(1u << (random() % 8));
      const auto decoded = decode_request(bytes);
      // What is accepted can be said again.
      if (const auto* read = std::get_if<Request>(&decoded)) {
        EXPECT_NO_THROW(encode(*read));
      }
    }
  }
}

TEST(RelayCodec, ARequestBeyondItsSizeIsNotRead) {
  EXPECT_THAT(flaw(std::vector<std::byte>(kMaxRequestBytes)), HasSubstr("not a Cap'n Proto"));
  EXPECT_THAT(flaw(std::vector<std::byte>(kMaxRequestBytes + 8)), HasSubstr("at most 8192"));
  EXPECT_THAT(flaw(std::vector<std::byte>(12)), HasSubstr("no whole number of words"));
}

TEST(RelayCodec, AnotherProtocolOrVersionIsRefused) {
  EXPECT_THAT(flaw_of([](auto request) { request.setMagic(1); }), HasSubstr("magic"));
  EXPECT_THAT(flaw_of([](auto request) { request.setVersion(9); }), HasSubstr("version 9"));
  EXPECT_THAT(flaw_of([](auto request) { request.setId(0); }), HasSubstr("without a number"));
}

TEST(RelayCodec, KeysHaveThirtyTwoBytes) {
  for (const unsigned size : {0u, 31u, 33u}) {
    EXPECT_THAT(flaw_of([&](auto request) {
                  auto leave = request.initLeave();
                  leave.initRunKey(size);
                  leave.setRole("a");
                }),
                HasSubstr("run key"));
  }
}

TEST(RelayCodec, RolesAndNotesAreBounded) {
  EXPECT_THAT(flaw_of([](auto request) {
                auto leave = request.initLeave();
                leave.initRunKey(32);
                leave.setRole("A");
              }),
              HasSubstr("role"));
  EXPECT_THAT(flaw_of([](auto request) {
                auto renew = request.initRenew();
                fill_membership(renew.initAs());
                renew.setNote(std::string(kMaxNoteChars + 1, 'x'));
              }),
              HasSubstr("note"));
}

TEST(RelayCodec, AsManyPathsMayBeWantedAsBulkAndControlNeed) {
  for (const std::size_t wrong : {std::size_t{0}, kMaxPathsPerIntroduction + 1, std::size_t{255}}) {
    const auto paths = static_cast<std::uint8_t>(wrong);
    EXPECT_THAT(flaw_of([&](auto request) { request.initIntroduce().setPaths(paths); }),
                HasSubstr("paths"));
  }
}

TEST(RelayCodec, NumbersWithoutAMeaningAreRefused) {
  EXPECT_THAT(flaw_of([](auto request) { request.initSurvey().setSubject(3); }),
              HasSubstr("subject 3"));
  capnp::MallocMessageBuilder message;
  auto answer = message.initRoot<schema::Answer>();
  answer.setMagic(kRelayMagic);
  answer.setVersion(kRelayProtocolVersion);
  answer.initRefused().setReason(kRefusals);
  const auto words = capnp::messageToFlatArray(message);
  EXPECT_TRUE(std::holds_alternative<wire::Malformed>(
      decode_answer(std::as_bytes(std::span(words.begin(), words.size())))));
}

TEST(RelayCodec, AListThatClaimsMoreThanItHoldsIsRefused) {
  // The pointer to the record: a list (1) of bytes (2), its length in the upper 29 bits.
  const auto bytes = encode(Request{1, request::Register{record_of(8)}});
  int found = 0;
  for (std::size_t at = 0; at < bytes.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, 8);
    if ((word & 3) != 1 || ((word >> 32) & 7) != 2 || word >> 35 != 8) continue;
    ++found;
    word = (word & 0x7ffffffff) | (std::uint64_t{0x1fffffff} << 35);
    auto bomb = bytes;
    std::memcpy(bomb.data() + at, &word, 8);
    EXPECT_NE(flaw(bomb), "");
  }
  EXPECT_EQ(found, 1);
}

TEST(RelayCodec, AListOfNothingsIsRefusedBeforeMemoryIsTakenForIt) {
  // 2^28 records without a field fit into two words.
  capnp::MallocMessageBuilder message;
  auto answer = message.initRoot<schema::Answer>();
  answer.setMagic(kRelayMagic);
  answer.setVersion(kRelayProtocolVersion);
  auto records = answer.initFound().initRecords(1);
  (void)records;
  auto words = capnp::messageToFlatArray(message);
  std::vector<std::byte> bytes(words.size() * 8);
  std::memcpy(bytes.data(), words.begin(), bytes.size());
  int found = 0;
  for (std::size_t at = 0; at + 8 < bytes.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, 8);
    if ((word & 3) != 1 || ((word >> 32) & 7) != 7) continue;  // a list of structs
    ++found;
    word &= 0x7ffffffff;                                    // of no words in all
    const std::uint64_t tag = std::uint64_t{1 << 28} << 2;  // so many structs, none with a field
    std::memcpy(bytes.data() + at, &word, 8);
    std::memcpy(bytes.data() + at + 8, &tag, 8);
  }
  ASSERT_EQ(found, 1);
  EXPECT_TRUE(std::holds_alternative<wire::Malformed>(decode_answer(bytes)));
}

TEST(RelayCodec, TheLargestForwardFitsIntoARequest) {
  const Place longest{.peer_key = key_of(2), .role = std::string(kMaxRoleChars, 'r')};
  request::Forward forward{
      .run_key = key_of(1), .to = longest, .record = record_of(kMaxRecordBytes), .tokens = {}};
  forward.tokens.assign(kMaxPathsPerIntroduction,
                        {longest, 255, std::string(kMaxTokenChars, 't'), key_of(3)});
  EXPECT_LE(encode(Request{1, forward}).size(), kMaxRequestBytes);
  forward.tokens.push_back(forward.tokens[0]);
  EXPECT_THROW(encode(Request{1, forward}), Error);
}

TEST(RelayCodec, TheLargestPageOfChangesFitsIntoAnAnswer) {
  answer::Mirrored page;
  page.gone.assign(kMaxGonePerPage,
                   {key_of(1), {.peer_key = key_of(2), .role = std::string(kMaxRoleChars, 'r')}});
  EXPECT_LE(encode(Answer{1, page}).size(), kMaxAnswerBytes);
  page.gone.push_back(page.gone[0]);
  EXPECT_THROW(encode(Answer{1, page}), Error);
}

TEST(RelayCodec, APageThatIsTooLongIsOurOwnMistake) {
  answer::Found found;
  found.records.assign(kMaxRecordsPerPage, record_of(8));
  EXPECT_NO_THROW(encode(Answer{1, found}));
  found.records.push_back(record_of(8));
  EXPECT_THROW(encode(Answer{1, found}), Error);
}

}  // namespace
}  // namespace ptrain::net
