#include "libcommon/net/address_reach.h"

#include <gtest/gtest.h>

namespace ptrain::net {
namespace {

AddressBytes address(const char* text) { return parse_address(text).value(); }

TEST(AddressReach, OnlyWholeNumericAddressesAreAddresses) {
  for (const char* text :
       {"127.0.0.1", "8.8.8.8", "::1", "[::1]", "[2001:db8::1]", "::ffff:1.2.3.4"}) {
    EXPECT_TRUE(parse_address(text)) << text;
  }
  for (const char* text : {"", "127.1", "127.evil.test", "0x7f000001", "2130706433", "localhost",
                           "[name]", "[127.0.0.1", "fe80::1%eth0", "1.2.3.4.5"}) {
    EXPECT_FALSE(parse_address(text)) << text;
  }
}

TEST(AddressReach, AnIpv6HostCountsAsItsNetwork) {
  EXPECT_EQ(counted_as(address("192.0.2.7")), "192.0.2.7");
  EXPECT_EQ(counted_as(address("::ffff:192.0.2.7")), "192.0.2.7");
  EXPECT_EQ(counted_as(address("2001:db8:1:2:3:4:5:6")), "2001:db8:1:2::/64");
  EXPECT_EQ(counted_as(address("2001:db8:1:2::9")), "2001:db8:1:2::/64");
}

TEST(AddressReach, TellsWhomAnAddressMeans) {
  for (const char* text :
       {"127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "::", "::1", "::ffff:127.0.0.1"}) {
    EXPECT_EQ(reach_of(address(text)), Reach::host) << text;
  }
  for (const char* text : {"169.254.1.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
                           "255.255.255.255", "fe80::1", "ff02::1", "64:ff9b::7f00:1"}) {
    EXPECT_EQ(reach_of(address(text)), Reach::link) << text;
  }
  for (const char* text : {"10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1",
                           "100.127.255.255", "fd00::1", "::ffff:10.0.0.1"}) {
    EXPECT_EQ(reach_of(address(text)), Reach::network) << text;
  }
  for (const char* text : {"8.8.8.8", "11.0.0.11", "128.0.0.1", "126.255.255.255", "1.0.0.0",
                           "172.15.255.255", "172.32.0.0", "192.167.1.1", "100.63.255.255",
                           "100.128.0.0", "223.255.255.255", "2001:db8::1", "2a00:1450::1"}) {
    EXPECT_EQ(reach_of(address(text)), Reach::world) << text;
  }
}

TEST(AddressReach, PrivateAddressesAreDialledOnANetOfOnesOwn) {
  const std::vector<Network> own{{address("192.168.1.7"), 96 + 24}, {address("fd00:1::5"), 64}};
  for (const char* text : {"192.168.1.1", "192.168.1.254", "fd00:1::9", "8.8.8.8", "2001:db8::1"}) {
    EXPECT_TRUE(may_be_dialled(address(text), own)) << text;
  }
  for (const char* text : {"192.168.2.1", "10.0.0.1", "fd00:2::9", "127.0.0.1", "::1", "0.0.0.0",
                           "169.254.1.1", "fe80::1"}) {
    EXPECT_FALSE(may_be_dialled(address(text), own)) << text;
  }
}

TEST(AddressReach, AHostsOwnNetworksAreWithoutLoopback) {
  for (const Network& each : own_networks()) {
    EXPECT_FALSE(each.contains(address("127.0.0.1")));
    EXPECT_GT(each.prefix_bits, 0u);
  }
}

}  // namespace
}  // namespace ptrain::net
