// Requests to a gateway, repeated and answered, and what a foreign gateway answers falsely.

#include "libcommon/portmap/port_control.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/portmap/byte_order.h"
#include "tests/unit/punch/addresses.h"

namespace ptrain::punch {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr std::chrono::seconds kLease{600};

PcpNonce nonce_of(const Port& port) {
  PcpNonce nonce{9, 9, 9};
  nonce[10] = static_cast<std::uint8_t>(port.number >> 8);
  nonce[11] = static_cast<std::uint8_t>(port.number);
  return nonce;
}

class PortControlTest : public testing::Test {
 protected:
  PortControl control{kOwn, nonce_of};
  FakeClock clock;

  void map(Service service, const Port& port = kTcp) {
    control.map(service, {.port = port, .lifetime = kLease}, clock.now());
    control.due(clock.now());
  }
  static std::vector<std::uint8_t> pcp_answer(const PcpNonce& nonce, const Port& port = kTcp,
                                              std::uint8_t result = 0,
                                              std::chrono::seconds lifetime = kLease) {
    auto bytes =
        encode_pcp_map({}, lifetime, {.nonce = nonce, .inside = port, .outside = {kWorld, 40000}});
    bytes[1] |= 0x80;
    bytes[3] = result;
    bytes[11] = 5;
    return bytes;
  }
  static std::vector<std::uint8_t> nat_pmp_answer(const Port& port, std::uint16_t result = 0,
                                                  std::chrono::seconds lifetime = kLease) {
    std::vector<std::uint8_t> bytes{
        0, static_cast<std::uint8_t>(port.transport == Transport::udp ? 129 : 130)};
    append_u16(bytes, result);
    append_u32(bytes, 5);
    append_u16(bytes, port.number);
    append_u16(bytes, 40000);
    append_u32(bytes, static_cast<std::uint32_t>(lifetime.count()));
    return bytes;
  }
};

TEST_F(PortControlTest, ARequestIsRepeatedEverMoreSlowlyAndThenSilent) {
  control.look(Service::pcp, clock.now());
  int sent = 0;
  std::vector<PortControl::Reply> replies;
  while (control.next() != TimePoint::max()) {
    clock.advance(control.next() - clock.now());
    sent += static_cast<int>(control.due(clock.now()).size());
    for (auto& reply : control.silences(clock.now())) replies.push_back(reply);
  }
  EXPECT_EQ(sent, kMostSendings);
  EXPECT_EQ(clock.now().time_since_epoch(), kAnswerWithin);
  EXPECT_THAT(replies, ElementsAre(PortControl::Reply{Service::pcp, {}, false, Silent{}}));
}

TEST_F(PortControlTest, AMappingByPcpIsGrantedToItsNonce) {
  map(Service::pcp);
  EXPECT_THAT(control.receive(pcp_answer(nonce_of(kTcp))),
              ElementsAre(PortControl::Reply{Service::pcp, kTcp, false,
                                             Granted{{kWorld, 40000}, kLease, std::uint32_t{5}}}));
  EXPECT_THAT(control.receive(pcp_answer(nonce_of(kTcp))), IsEmpty());  // nobody waits for it
}

TEST_F(PortControlTest, FalseAnswersAreNotHeard) {
  map(Service::pcp);
  PcpNonce other = nonce_of(kTcp);
  other[0] ^= 1;
  EXPECT_THAT(control.receive(pcp_answer(other)), IsEmpty());
  EXPECT_THAT(control.receive(pcp_answer(other, kTcp, 2)), IsEmpty());        // nor a refusal
  EXPECT_THAT(control.receive(pcp_answer(nonce_of(kUdp), kUdp)), IsEmpty());  // not asked for
  EXPECT_THAT(control.receive(nat_pmp_answer(kTcp)), IsEmpty());              // asked by PCP
  auto another_opcode = pcp_answer(nonce_of(kTcp));
  another_opcode[1] = 0x80 | 2;
  EXPECT_THAT(control.receive(another_opcode), IsEmpty());
  auto request = pcp_answer(nonce_of(kTcp));
  request[1] = 1;
  EXPECT_THAT(control.receive(request), IsEmpty());
  EXPECT_THAT(control.receive(pcp_answer(nonce_of(kTcp))), SizeIs(1));  // it still waits
}

TEST_F(PortControlTest, WhatWasNotSentIsNotAnswered) {
  control.map(Service::nat_pmp, {.port = kTcp, .lifetime = kLease}, clock.now());
  EXPECT_THAT(control.receive(nat_pmp_answer(kTcp)), IsEmpty());
  control.due(clock.now());
  EXPECT_THAT(control.receive(nat_pmp_answer(kTcp)), SizeIs(1));
}

TEST_F(PortControlTest, NatPmpSaysItsAddressInAnotherAnswer) {
  control.look(Service::nat_pmp, clock.now());
  control.due(clock.now());
  const std::vector<std::uint8_t> said{0, 128, 0, 0, 0, 0, 0, 5, 8, 8, 4, 4};
  EXPECT_THAT(control.receive(said),
              ElementsAre(PortControl::Reply{
                  Service::nat_pmp, {}, false, Alive{std::uint32_t{5}, kWorld, false}}));
  map(Service::nat_pmp);
  EXPECT_THAT(control.receive(nat_pmp_answer(kTcp)),
              ElementsAre(PortControl::Reply{Service::nat_pmp, kTcp, false,
                                             Granted{{kWorld, 40000}, kLease, std::uint32_t{5}}}));
}

TEST_F(PortControlTest, ARefusalHasTheServicesOwnName) {
  map(Service::pcp);
  map(Service::nat_pmp);
  EXPECT_THAT(
      control.receive(pcp_answer(nonce_of(kTcp), kTcp, 8)),
      ElementsAre(PortControl::Reply{Service::pcp, kTcp, false, Refused{pcp_result_text(8)}}));
  EXPECT_THAT(control.receive(nat_pmp_answer(kTcp, 2)),
              ElementsAre(PortControl::Reply{Service::nat_pmp, kTcp, false,
                                             Refused{nat_pmp_result_text(2)}}));
}

TEST_F(PortControlTest, ARefusalByPcpWithAWorthlessAddressSaysSo) {
  map(Service::pcp);
  auto bytes = pcp_answer(nonce_of(kTcp), kTcp, 8);
  const net::AddressBytes carrier = address("100.64.7.8");
  std::ranges::copy(carrier, bytes.end() - static_cast<std::ptrdiff_t>(carrier.size()));
  const auto replies = control.receive(bytes);
  ASSERT_THAT(replies, SizeIs(1));
  const auto& refused = std::get<Refused>(replies[0].what);
  EXPECT_THAT(refused.reason, testing::HasSubstr("NO_RESOURCES (8)"));
  EXPECT_THAT(refused.reason, testing::HasSubstr("100.64.7.8 is one of a carrier's NAT"));
  EXPECT_THAT(refused.cure, testing::HasSubstr("relay"));
}

TEST_F(PortControlTest, AShortRefusalByNatPmpIsThatOfAPortOfItsKind) {
  map(Service::nat_pmp, kTcp);
  map(Service::nat_pmp, kUdp);
  const std::vector<std::uint8_t> refused{0, 129, 0, 4, 0, 0, 0, 9};
  EXPECT_THAT(control.receive(refused),
              ElementsAre(PortControl::Reply{Service::nat_pmp, kUdp, false,
                                             Refused{nat_pmp_result_text(4)}}));
}

TEST_F(PortControlTest, AGatewayOfTheOtherProtocolSaysSo) {
  control.look(Service::pcp, clock.now());
  control.look(Service::nat_pmp, clock.now());
  control.due(clock.now());
  // What a gateway of NAT-PMP alone answers to PCP (RFC 6887, appendix A).
  EXPECT_THAT(
      control.receive(std::vector<std::uint8_t>{0, 128, 0, 1, 0, 0, 0, 9}),
      ElementsAre(PortControl::Reply{Service::pcp, {}, false, Refused{nat_pmp_result_text(1)}}));
  control.look(Service::pcp, clock.now());
  control.due(clock.now());
  // And one of PCP alone to NAT-PMP.
  std::vector<std::uint8_t> unknown(kPcpHeaderBytes);
  unknown[0] = kPcpVersion;
  unknown[1] = 0x80;
  unknown[3] = kPcpUnsupportedVersion;
  EXPECT_THAT(
      control.receive(unknown),
      ElementsAre(PortControl::Reply{Service::nat_pmp, {}, false, Refused{pcp_result_text(1)}}));
}

TEST_F(PortControlTest, ALateAnswerToTheOppositeIsNone) {
  map(Service::pcp);
  control.unmap(Service::pcp, {.port = kTcp}, clock.now());
  control.due(clock.now());
  EXPECT_THAT(control.receive(pcp_answer(nonce_of(kTcp))), IsEmpty());
  EXPECT_THAT(control.receive(pcp_answer(nonce_of(kTcp), kTcp, 0, std::chrono::seconds(0))),
              ElementsAre(PortControl::Reply{Service::pcp, kTcp, true, Removed{}}));
}

TEST_F(PortControlTest, WhereNothingListensNobodyIsWaitedFor) {
  map(Service::pcp);
  control.look(Service::nat_pmp, clock.now());  // and not sent
  EXPECT_THAT(control.unreachable(),
              ElementsAre(PortControl::Reply{Service::pcp, kTcp, false, Silent{}}));
}

}  // namespace
}  // namespace ptrain::punch
