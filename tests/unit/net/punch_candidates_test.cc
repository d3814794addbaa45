// Which addresses are published for holes, and which of another's are tried.

#include "libcommon/net/punch_candidates.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ptrain::net {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Network network(const std::string& address, unsigned bits) {
  return {.address = *parse_address(address), .prefix_bits = bits};
}
const std::vector<Network> kHome{network("192.168.1.2", 96 + 24), network("2001:db8::2", 64)};

std::vector<std::string> texts(const std::vector<Endpoint>& endpoints) {
  std::vector<std::string> all;
  for (const Endpoint& each : endpoints) all.push_back(to_string(each));
  return all;
}
std::vector<Endpoint> endpoints(const std::vector<std::string>& words) {
  std::vector<Endpoint> all;
  for (const std::string& each : words) all.push_back(parse_endpoint(each));
  return all;
}
Endpoint direct(const std::string& host, std::uint16_t port) {
  Endpoint endpoint;
  endpoint.host = host;
  endpoint.port = port;
  return endpoint;
}

TEST(RankedHosts, TheWayToTheWorldIsFirstAndVirtualOnesAreLastAndFew) {
  EXPECT_THAT(ranked_hosts({{.interface = "docker0", .host = "172.17.0.1"},
                            {.interface = "br-12ab", .host = "172.18.0.1"},
                            {.interface = "wg0", .host = "10.9.0.2", .tunnel = true},
                            {.interface = "eth1", .host = "10.0.0.5"},
                            {.interface = "wlan0", .host = "192.168.1.2", .to_the_world = true}}),
              ElementsAre("192.168.1.2", "10.0.0.5", "172.17.0.1", "172.18.0.1"));
}

TEST(RankedHosts, AHundredBridgesTakeNoPlaceOfAUsefulAddress) {
  std::vector<HostAddress> addresses;
  for (int i = 0; i < 100; ++i) {
    addresses.push_back(
        {.interface = "br-" + std::to_string(i), .host = "172.18." + std::to_string(i) + ".1"});
  }
  addresses.push_back({.interface = "eth0", .host = "192.168.1.2"});
  const auto hosts = ranked_hosts(addresses);
  ASSERT_EQ(hosts.size(), 1 + kMostVirtualAddresses);
  EXPECT_EQ(hosts.front(), "192.168.1.2");
}

TEST(RankedHosts, WhatOnlyThisHostOrItsLinkHasIsNotTold) {
  EXPECT_THAT(ranked_hosts({{.interface = "lo", .host = "127.0.0.1"},
                            {.interface = "eth0", .host = "169.254.3.4"},
                            {.interface = "eth0", .host = "[fe80::1]"},
                            {.interface = "eth0", .host = "nonsense"}}),
              IsEmpty());
}

TEST(RankedHosts, ATunnelThatIsTheWayToTheWorldIsNoWorseThanOthers) {
  EXPECT_THAT(
      ranked_hosts(
          {{.interface = "eth0", .host = "10.0.0.5"},
           {.interface = "tun0", .host = "10.8.0.2", .to_the_world = true, .tunnel = true}}),
      ElementsAre("10.8.0.2", "10.0.0.5"));
  EXPECT_FALSE(is_virtual({.interface = "ppp0", .host = "203.0.113.9", .tunnel = true}));
}

TEST(HoleCandidates, EachHoleHasItsOutsideBeforeAnyHasMuch) {
  const std::vector<HoleFacts> holes{{.port = 40000, .outside = {direct("198.51.100.7", 5001)}},
                                     {.port = 40001, .outside = {direct("198.51.100.7", 5002)}}};
  EXPECT_THAT(
      texts(hole_candidates(holes, {"192.168.1.2"}, 16)),
      ElementsAre("tcp://0.0.0.0:40000;198.51.100.7:5001", "tcp://0.0.0.0:40001;198.51.100.7:5002",
                  "tcp://0.0.0.0:40000;192.168.1.2:40000",
                  "tcp://0.0.0.0:40001;192.168.1.2:40001"));
  EXPECT_THAT(
      texts(hole_candidates(holes, {"192.168.1.2"}, 3)),
      ElementsAre("tcp://0.0.0.0:40000;198.51.100.7:5001", "tcp://0.0.0.0:40001;198.51.100.7:5002",
                  "tcp://0.0.0.0:40000;192.168.1.2:40000"));
}

TEST(HoleCandidates, AHostThatIsSeenAsItIsHasOneAddress) {
  const std::vector<HoleFacts> holes{{.port = 40000, .outside = {direct("198.51.100.7", 40000)}}};
  EXPECT_THAT(texts(hole_candidates(holes, {"198.51.100.7"}, 16)),
              ElementsAre("tcp://0.0.0.0:40000;198.51.100.7:40000"));
}

TEST(PunchTargets, OfEachHoleTheLanIsFirst) {
  const auto targets = punch_targets(
      endpoints({"tcp://0.0.0.0:40000;198.51.100.7:5001", "tcp://0.0.0.0:41000;198.51.100.7:5002",
                 "tcp://0.0.0.0:40000;192.168.1.9:40000",
                 "tcp://0.0.0.0:40000;[2600:1f18::9]:40000"}),
      kHome);
  ASSERT_EQ(targets.size(), 2u);
  ASSERT_EQ(targets[0].size(), 3u);
  EXPECT_EQ(targets[0][0], (PunchTarget{PunchRung::lan, direct("192.168.1.9", 40000)}));
  EXPECT_EQ(targets[0][1], (PunchTarget{PunchRung::ipv6, direct("[2600:1f18::9]", 40000)}));
  EXPECT_EQ(targets[0][2], (PunchTarget{PunchRung::outside, direct("198.51.100.7", 5001)}));
  EXPECT_THAT(targets[1],
              ElementsAre(PunchTarget{PunchRung::outside, direct("198.51.100.7", 5002)}));
}

TEST(PunchTargets, NobodyIsSentToLoopbackTheLinkOrAnothersPrivateNet) {
  const auto targets = punch_targets(
      endpoints({"tcp://0.0.0.0:40000;127.0.0.1:22", "tcp://0.0.0.0:40000;[::1]:22",
                 "tcp://0.0.0.0:40000;0.0.0.0:22", "tcp://0.0.0.0:40000;169.254.169.254:80",
                 "tcp://0.0.0.0:40000;10.0.0.1:80", "tcp://0.0.0.0:40000;192.168.2.1:80",
                 "tcp://0.0.0.0:40000;[fe80::1]:80", "tcp://0.0.0.0:40000;224.0.0.1:80",
                 "tcp://0.0.0.0:40000;255.255.255.255:80", "tcp://0.0.0.0:40000;host.example:80",
                 "tcp://0.0.0.0:40000;[::ffff:127.0.0.1]:80", "tcp://0.0.0.0:40000;100.64.0.1:80"}),
      kHome);
  ASSERT_EQ(targets.size(), 1u) << "the hole is there all the same, for its number";
  EXPECT_THAT(targets[0], IsEmpty());
}

TEST(PunchTargets, OfAnyNumberOfAddressesFewAreTried) {
  std::vector<std::string> words;
  for (std::size_t hole = 0; hole < 2 * kMostHoles; ++hole) {
    for (std::size_t i = 0; i < 2 * kMostPunchTargets; ++i) {
      words.push_back("tcp://0.0.0.0:" + std::to_string(40000 + hole) + ";198.51.100." +
                      std::to_string(i + 1) + ":80");
    }
  }
  const auto targets = punch_targets(endpoints(words), kHome);
  ASSERT_EQ(targets.size(), kMostHoles);
  for (const auto& hole : targets) EXPECT_EQ(hole.size(), kMostPunchTargets);
}

TEST(PunchTargets, TheSameAddressIsTriedOnceAndOtherKindsAreOthersBusiness) {
  const auto targets =
      punch_targets(endpoints({"tcp://198.51.100.7:7000", "tcp://0.0.0.0:40000;198.51.100.7:5001",
                               "tcp://0.0.0.0:40000;198.51.100.7:5001"}),
                    kHome);
  ASSERT_EQ(targets.size(), 1u);
  EXPECT_EQ(targets[0].size(), 1u);
}

}  // namespace
}  // namespace ptrain::net
