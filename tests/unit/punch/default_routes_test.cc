// Gateways out of the kernel's tables of routes.

#include "libcommon/portmap/default_routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/punch/addresses.h"

namespace ptrain::punch {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

TEST(DefaultRoutes, OfV4AreInTheOrderOfTheirMetrics) {
  EXPECT_THAT(
      parse_v4_routes(
          "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
          "wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n"
          "eth0\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
          "eth0\t00000000\t0102A8C0\t0003\t0\t0\t200\t00000000\t0\t0\t0\n"  // again
          "eth0\t0002A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n"  // a net
          "ppp0\t00000000\t00000000\t0001\t0\t0\t50\t00000000\t0\t0\t0\n"   // no gateway
          "eth1\t00000000\t0103A8C0\t0002\t0\t0\t10\t00000000\t0\t0\t0\n"   // down
          "eth2\t00000000\t01\n"),
      ElementsAre(Gateway{address("192.168.2.1"), "eth0", 100},
                  Gateway{address("192.168.1.1"), "wlan0", 600}));
}

TEST(DefaultRoutes, OfV6NameTheirInterface) {
  const auto gateways = parse_v6_routes(
      "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
      "fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0\n"
      "20010db8000000000000000000000000 40 00000000000000000000000000000000 00 "
      "00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0\n"
      "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
      "00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n");
  EXPECT_THAT(gateways, ElementsAre(Gateway{address("fe80::1"), "eth0", 0x400}));
  EXPECT_EQ(to_string(gateways[0]), "fe80::1%eth0");
}

TEST(DefaultRoutes, AreSoManyAndNoMore) {
  std::string table;
  for (int i = 1; i <= static_cast<int>(kMaxGateways) + 3; ++i) {
    table += "eth0\t00000000\t0" + std::string(1, static_cast<char>('a' + i % 6)) +
             "01A8C0\t0003\t0\t0\t" + std::to_string(i) + "\t00000000\t0\t0\t0\n";
    table += "eth" + std::to_string(i) + "\t00000000\t0101A8C0\t0003\t0\t0\t9\t00000000\t0\t0\t0\n";
  }
  EXPECT_THAT(parse_v4_routes(table), SizeIs(kMaxGateways));
  EXPECT_THAT(parse_v4_routes(""), IsEmpty());
  EXPECT_THAT(parse_v6_routes("garbage\n\n"), IsEmpty());
}

}  // namespace
}  // namespace ptrain::punch
