// What people and programs are told: endpoints, worthless addresses, the outside file, UPnP's
// errors.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/portmap/igd.h"
#include "libcommon/portmap/pcp_message.h"
#include "tests/unit/punch/addresses.h"
#include "tools/punch/announcements.h"
#include "tools/punch/outside_file.h"
#include "tools/punch/port_claim.h"

namespace ptrain::punch {
namespace {

using testing::HasSubstr;

TEST(Words, EndpointsAreThoseThatOthersDial) {
  EXPECT_EQ(endpoint_text(Transport::tcp, {kWorld, 40000}), "tcp://8.8.4.4:40000");
  EXPECT_EQ(endpoint_text(Transport::udp, {address("2600::1"), 7101}), "udp://[2600::1]:7101");
}

TEST(Words, TheOutsideFileHasALineForEachPort) {
  EXPECT_EQ(outside_text({{kTcp, {kWorld, 40000}}, {kUdp, {address("2600::1"), 7101}}}),
            "tcp 7100 tcp://8.8.4.4:40000\nudp 7101 udp://[2600::1]:7101\n");
  EXPECT_EQ(outside_text({}), "");
}

TEST(Words, ACarriersNatIsToldFromAnotherRouter) {
  EXPECT_THAT(worthless(address("100.64.1.1")).why, HasSubstr("carrier's NAT"));
  EXPECT_THAT(worthless(address("192.168.0.9")).why, HasSubstr("another router"));
  EXPECT_THAT(worthless(address("0.0.0.0")).why, HasSubstr("no outside address"));
  EXPECT_EQ(worthless(kWorld).why, "");
  EXPECT_EQ(worthless(address("2600::1")).why, "");
}

TEST(Words, OnlyTheHostOfAUrlSaysWhoseItIs) {
  EXPECT_EQ(host_of_url("http://192.168.1.1:5000/root.xml"), "192.168.1.1");
  EXPECT_EQ(host_of_url("http://192.168.1.1"), "192.168.1.1");
  EXPECT_EQ(host_of_url("http://[fe80::1]:5000/"), "fe80::1");
  EXPECT_EQ(host_of_url("http://192.168.1.1@10.0.0.9/"), "");
  EXPECT_EQ(host_of_url("http://10.0.0.9/192.168.1.1"), "10.0.0.9");
  EXPECT_EQ(host_of_url("https://192.168.1.1/"), "");
  EXPECT_EQ(host_of_url(""), "");
}

TEST(Words, ErrorsOfUpnpHaveTheirNames) {
  EXPECT_THAT(igd_error_text(718), HasSubstr("ConflictInMappingEntry (718)"));
  EXPECT_THAT(igd_error_text(725), HasSubstr("stay for good"));
  EXPECT_THAT(igd_error_text(499), HasSubstr("(499)"));
}

TEST(Words, AnnouncementsAreAnswersThatNobodyAskedFor) {
  const std::vector<std::uint8_t> nat_pmp{0, 128, 0, 0, 0, 0, 0, 5, 8, 8, 4, 4};
  EXPECT_TRUE(is_announcement(nat_pmp));
  auto pcp = encode_pcp_announce(kOwn);
  EXPECT_FALSE(is_announcement(pcp));  // a question
  pcp[1] |= 0x80;
  EXPECT_TRUE(is_announcement(pcp));
  EXPECT_FALSE(is_announcement({}));
}

TEST(Words, AClaimsNameIsItsPort) {
  EXPECT_EQ(claim_name(kUdp), "udp-7101");
  EXPECT_EQ(parse_claim_name("udp-7101"), kUdp);
  EXPECT_EQ(parse_claim_name("tcp-7100"), kTcp);
  for (const char* other : {"tcp-", "tcp-0", "tcp-65536", "tcp-71x", "sctp-7100", "", ".tmp"}) {
    EXPECT_FALSE(parse_claim_name(other)) << other;
  }
}

}  // namespace
}  // namespace ptrain::punch
