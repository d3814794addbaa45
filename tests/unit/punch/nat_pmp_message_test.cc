// NAT-PMP's messages against the octets of RFC 6886, and what is no answer.

#include "libcommon/portmap/nat_pmp_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/punch/addresses.h"

namespace ptrain::punch {
namespace {

using testing::HasSubstr;

const std::vector<std::uint8_t> kAddressAnswer{0, 128, 0, 0, 0, 0, 1, 0, 8, 8, 4, 4};
const std::vector<std::uint8_t> kMapAnswer{0,    130,  0,    0,    0, 0, 1, 0,
                                           0x1b, 0xbc, 0x9c, 0x40, 0, 0, 2, 0x58};

TEST(NatPmpMessage, RequestsHaveTheFormOfTheRfc) {
  EXPECT_EQ(encode_nat_pmp_address_request(), (std::vector<std::uint8_t>{0, 0}));
  EXPECT_EQ(encode_nat_pmp_map(kTcp, 40000, std::chrono::seconds(600)),
            (std::vector<std::uint8_t>{0, 2, 0, 0, 0x1b, 0xbc, 0x9c, 0x40, 0, 0, 2, 0x58}));
  EXPECT_EQ(encode_nat_pmp_map(kUdp, 0, std::chrono::seconds(0))[1], 1);
}

TEST(NatPmpMessage, AnswersAreRead) {
  const auto address = decode_nat_pmp_answer(kAddressAnswer);
  ASSERT_TRUE(address);
  EXPECT_EQ(address->address, kWorld);
  EXPECT_EQ(address->epoch_s, 256u);
  const auto mapped = decode_nat_pmp_answer(kMapAnswer);
  ASSERT_TRUE(mapped && mapped->mapped);
  EXPECT_EQ(
      *mapped->mapped,
      (NatPmpMapped{.inside = kTcp, .outside_port = 40000, .lifetime = std::chrono::seconds(600)}));
}

TEST(NatPmpMessage, WhatHasNotTheFormOfAnAnswerIsNone) {
  for (const auto& good : {kAddressAnswer, kMapAnswer}) {
    for (std::size_t size = 0; size < good.size(); ++size) {
      EXPECT_FALSE(decode_nat_pmp_answer(std::span(good).first(size))) << size;
    }
    auto longer = good;
    longer.push_back(0);
    EXPECT_FALSE(decode_nat_pmp_answer(longer));
    auto other = good;
    other[0] = 2;
    EXPECT_FALSE(decode_nat_pmp_answer(other));
    other = good;
    other[1] &= 0x7f;
    EXPECT_FALSE(decode_nat_pmp_answer(other));
    other[1] = 128 + 3;
    EXPECT_FALSE(decode_nat_pmp_answer(other));
  }
}

TEST(NatPmpMessage, AnErrorMayEndEarly) {
  const std::vector<std::uint8_t> refused{0, 129, 0, 2, 0, 0, 0, 9};
  const auto answer = decode_nat_pmp_answer(refused);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->result, 2);
  EXPECT_EQ(answer->refused, Transport::udp);
  EXPECT_THAT(nat_pmp_result_text(2), HasSubstr("Not Authorized/Refused (2)"));
  EXPECT_THAT(nat_pmp_result_text(6), HasSubstr("result 6"));
}

}  // namespace
}  // namespace ptrain::punch
