#include "libcommon/net/peer_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/net/job_secret.h"
#include "libcommon/wire/envelope.h"

namespace ptrain::net {
namespace {

using testing::HasSubstr;

SigningKey member_key(char fill = 'r') {
  std::array<std::byte, 32> bytes{};
  bytes.fill(static_cast<std::byte>(fill));
  return JobSecret(bytes).member_key();
}

SigningKey issuer(char fill = 'i') {
  std::array<std::byte, 32> bytes{};
  bytes.fill(static_cast<std::byte>(fill));
  return IssuerSecret(bytes).key();
}

PeerRecord sample() {
  PeerRecord record{.run_key = issuer().verify_key(),
                    .role = "stage-3",
                    .sequence = 1'700'000'000'000'000,
                    .candidates = {parse_endpoint("tcp://192.0.2.7:7000"),
                                   parse_endpoint("tcp://[2001:db8::7]:7000")}};
  record.peer_key[5] = 5;
  record.grant =
      make_grant(issuer(), member_key().verify_key(), *parse_wall_time("2026-12-22T18:30:00Z"));
  return record;
}

std::string flaw(const SignedRecord& record) {
  const auto opened = open(record);
  const auto* malformed = std::get_if<wire::Malformed>(&opened);
  return malformed == nullptr ? "" : malformed->why;
}

TEST(PeerRecord, OpensAsItWasSigned) {
  const auto opened = open(sign(sample(), member_key()));
  ASSERT_TRUE(std::holds_alternative<PeerRecord>(opened));
  EXPECT_EQ(std::get<PeerRecord>(opened), sample());
}

TEST(PeerRecord, SignedByWhoHasNoTicketIsRefused) {
  EXPECT_THAT(flaw(sign(sample(), member_key('x'))), HasSubstr("signature"));
}

TEST(PeerRecord, WithAGrantThatTheIssuerHasNotSignedIsRefused) {
  const auto granted_by = [](const SigningKey& key, char member) {
    PeerRecord record = sample();
    record.grant =
        make_grant(key, member_key(member).verify_key(), *parse_wall_time("2036-12-22T18:30:00Z"));
    return record;
  };
  EXPECT_EQ(flaw(sign(granted_by(issuer(), 'r'), member_key())), "");
  // Whoever holds a ticket has the member key, and no other.
  EXPECT_THAT(flaw(sign(granted_by(member_key(), 'r'), member_key())), HasSubstr("not granted"));
  EXPECT_THAT(flaw(sign(granted_by(issuer('j'), 'r'), member_key())), HasSubstr("not granted"));
  EXPECT_THAT(flaw(sign(granted_by(issuer(), 'x'), member_key())), HasSubstr("signature"));
  PeerRecord later = sample();
  later.grant.expires += std::chrono::hours(1);
  EXPECT_THAT(flaw(sign(later, member_key())), HasSubstr("not granted"));
}

TEST(PeerRecord, ChangedAnywhereIsRefused) {
  const SignedRecord record = sign(sample(), member_key());
  for (std::size_t i = 0; i < record.record.size(); ++i) {
    SignedRecord changed = record;
    changed.record[i] ^= std::byte{1};
    EXPECT_NE(flaw(changed), "") << "byte " << i;
  }
}

TEST(PeerRecord, CutShortOrEmptyIsRefused) {
  SignedRecord record = sign(sample(), member_key());
  record.record.resize(record.record.size() - 8);
  EXPECT_NE(flaw(record), "");
  record.record.clear();
  EXPECT_NE(flaw(record), "");
}

TEST(PeerRecord, HoldsAtMostSixteenCandidates) {
  PeerRecord record = sample();
  record.candidates.resize(kMaxCandidates, record.candidates[0]);
  EXPECT_EQ(flaw(sign(record, member_key())), "");
  record.candidates.push_back(record.candidates[0]);
  EXPECT_THAT(flaw(sign(record, member_key())), HasSubstr("17 candidates, at most 16 allowed"));
}

TEST(PeerRecord, CandidatesAreAddressesThatAnotherHostCanDial) {
  PeerRecord record = sample();
  record.candidates = {parse_endpoint("ipc:///tmp/socket")};
  EXPECT_THAT(flaw(sign(record, member_key())), HasSubstr("no address that another host can dial"));
  record.candidates = {parse_endpoint("tcp://192.0.2.1:1#" + std::string(64, 'a'))};
  EXPECT_NE(flaw(sign(record, member_key())), "");
}

TicketRelay relay_of(const std::string& host) {
  return parse_relay_word("tcp://" + host + ":7100#" + std::string(64, 'a') + ",data=7101");
}

TEST(PeerRecord, NamesTheRelaysOfItsTicket) {
  PeerRecord record = sample();
  record.relays.assign(kMaxRecordRelays, relay_of("relay.example.net"));
  const auto opened = open(sign(record, member_key()));
  ASSERT_TRUE(std::holds_alternative<PeerRecord>(opened));
  EXPECT_EQ(std::get<PeerRecord>(opened), record);
  record.relays.push_back(record.relays[0]);
  EXPECT_THAT(flaw(sign(record, member_key())), HasSubstr("9 relays, at most 8 allowed"));
}

TEST(PeerRecord, ARelaysWordHasABoundedLength) {
  PeerRecord record = sample();
  const std::size_t rest = to_word(relay_of("h")).size() - 1;
  record.relays = {relay_of(std::string(kMaxRelayWordChars - rest, 'h'))};
  EXPECT_EQ(flaw(sign(record, member_key())), "");
  record.relays = {relay_of(std::string(kMaxRelayWordChars - rest + 1, 'h'))};
  EXPECT_THAT(flaw(sign(record, member_key())), HasSubstr("relay of 161 characters"));
}

TEST(PeerRecord, TheLargestFitsIntoItsLimit) {
  PeerRecord record = sample();
  record.role = std::string(kMaxRoleChars, 'r');
  const std::string longest(kMaxCandidateChars - std::string("tcp://:65535").size(), 'h');
  record.candidates.assign(kMaxCandidates, parse_endpoint("tcp://" + longest + ":65535"));
  const std::size_t rest = to_word(relay_of("h")).size() - 1;
  record.relays.assign(kMaxRecordRelays, relay_of(std::string(kMaxRelayWordChars - rest, 'h')));
  EXPECT_EQ(flaw(sign(record, member_key())), "");
}

TEST(PeerRecord, RolesAreShortWords) {
  EXPECT_TRUE(is_role("stage-0"));
  EXPECT_TRUE(is_role(std::string(kMaxRoleChars, 'a')));
  EXPECT_FALSE(is_role(std::string(kMaxRoleChars + 1, 'a')));
  for (const char* text : {"", "Stage", "a b", "a/b", "a\n"}) EXPECT_FALSE(is_role(text)) << text;
  PeerRecord record = sample();
  record.role = "Stage 1";
  EXPECT_NE(flaw(sign(record, member_key())), "");
}

}  // namespace
}  // namespace ptrain::net
