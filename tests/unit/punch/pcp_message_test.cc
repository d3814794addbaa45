// PCP's messages against the octets of RFC 6887, and what is no answer.

#include "libcommon/portmap/pcp_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/punch/addresses.h"

namespace ptrain::punch {
namespace {

using testing::HasSubstr;

constexpr PcpNonce kNonce{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

PcpMap sample_map() { return {.nonce = kNonce, .inside = kTcp, .outside = {kWorld, 40000}}; }

std::vector<std::uint8_t> sample_answer() {
  auto bytes = encode_pcp_map(net::AddressBytes{}, std::chrono::seconds(600), sample_map());
  bytes[1] |= 0x80;
  bytes[11] = 77;  // the epoch
  return bytes;
}

TEST(PcpMessage, AMapRequestHasTheFormOfTheRfc) {
  const auto bytes = encode_pcp_map(kOwn, std::chrono::seconds(0x01020304), sample_map());
  ASSERT_EQ(bytes.size(), kPcpMapBytes);
  const std::vector<std::uint8_t> expected{
      2, 1, 0, 0, 1,    2,    3,    4,  // version, opcode, lifetime
      0, 0, 0, 0, 0,    0,    0,    0,    0, 0,  0xff, 0xff, 192, 168, 1, 2,   // client
      1, 2, 3, 4, 5,    6,    7,    8,    9, 10, 11,   12,                     // nonce
      6, 0, 0, 0, 0x1b, 0xbc, 0x9c, 0x40,                                      // TCP, 7100, 40000
      0, 0, 0, 0, 0,    0,    0,    0,    0, 0,  0xff, 0xff, 8,   8,   4, 4};  // outside
  EXPECT_EQ(bytes, expected);
}

TEST(PcpMessage, AnAnnounceRequestIsAHeader) {
  const auto bytes = encode_pcp_announce(kOwn);
  ASSERT_EQ(bytes.size(), kPcpHeaderBytes);
  EXPECT_EQ(bytes[0], 2);
  EXPECT_EQ(bytes[1], 0);
}

TEST(PcpMessage, AnAnswerIsRead) {
  const auto answer = decode_pcp_answer(sample_answer());
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->result, kPcpSuccess);
  EXPECT_EQ(answer->lifetime, std::chrono::seconds(600));
  EXPECT_EQ(answer->epoch_s, 77u);
  EXPECT_EQ(answer->map, sample_map());
}

TEST(PcpMessage, WhatHasNotTheFormOfAnAnswerIsNone) {
  const auto good = sample_answer();
  const auto changed = [&](std::size_t at, std::uint8_t to) {
    auto bytes = good;
    bytes[at] = to;
    return decode_pcp_answer(bytes);
  };
  EXPECT_TRUE(decode_pcp_answer(good));
  EXPECT_FALSE(decode_pcp_answer({}));
  EXPECT_FALSE(changed(0, 0));         // NAT-PMP's version
  EXPECT_FALSE(changed(0, 3));         // one that nobody knows, without saying so
  EXPECT_FALSE(changed(1, 0x01));      // a request
  EXPECT_FALSE(changed(1, 0x80 | 2));  // PEER
  EXPECT_FALSE(changed(36, 132));      // SCTP
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(decode_pcp_answer(std::span(good).first(size))) << size;
  }
}

TEST(PcpMessage, OptionsMayFollowUpToTheLongestMessage) {
  auto bytes = sample_answer();
  bytes.resize(kMaxPcpBytes);
  EXPECT_TRUE(decode_pcp_answer(bytes));
  bytes.resize(kMaxPcpBytes + 4);
  EXPECT_FALSE(decode_pcp_answer(bytes));
  bytes.resize(kPcpMapBytes + 2);
  EXPECT_FALSE(decode_pcp_answer(bytes));
}

TEST(PcpMessage, AnotherVersionIsAnAnswerWhereItSaysSo) {
  auto bytes = sample_answer();
  bytes.resize(kPcpHeaderBytes);
  bytes[0] = 1;
  bytes[3] = kPcpUnsupportedVersion;
  const auto answer = decode_pcp_answer(bytes);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->version, 1);
  EXPECT_FALSE(answer->map);
}

TEST(PcpMessage, ResultsHaveNames) {
  EXPECT_THAT(pcp_result_text(2), HasSubstr("NOT_AUTHORIZED (2)"));
  EXPECT_THAT(pcp_result_text(13), HasSubstr("EXCESSIVE_REMOTE_PEERS (13)"));
  EXPECT_THAT(pcp_result_text(14), HasSubstr("result 14"));
}

}  // namespace
}  // namespace ptrain::punch
