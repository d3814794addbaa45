#include "tools/relay/control/fair_share.h"

#include <gtest/gtest.h>

#include "tools/relay/control/quota_address.h"

namespace ptrain::relay {
namespace {

TEST(FairShare, WhoHoldsMostGivesWayToWhoHoldsLess) {
  FairShare<> share;
  for (int i = 0; i < 5; ++i) share.add("greedy");
  for (int i = 0; i < 3; ++i) share.add("modest");
  EXPECT_EQ(share.gives_way_to("new"), "greedy");
  EXPECT_EQ(share.gives_way_to("modest"), "greedy");
  EXPECT_EQ(share.gives_way_to("greedy"), std::nullopt);
  share.remove("greedy");
  EXPECT_EQ(share.gives_way_to("modest"), std::nullopt) << "it would only change places";
  EXPECT_EQ(share.largest(), "greedy");
}

TEST(FairShare, NobodyTakesAnEqualShareHoweverOftenItComes) {
  FairShare<> share;
  share.add("one");
  share.add("one");
  int taken = 0;
  while (const auto from = share.gives_way_to("other")) {
    share.remove(*from);
    share.add("other");
    ASSERT_LT(++taken, 10);
  }
  EXPECT_EQ(share.counted("one"), 1u);
  EXPECT_EQ(share.counted("other"), 1u);
}

TEST(FairShare, ForgetsWhoHoldsNothing) {
  FairShare<> share;
  share.add("one");
  share.remove("one");
  EXPECT_EQ(share.addresses(), 0u);
  EXPECT_EQ(share.largest(), std::nullopt);
  EXPECT_EQ(share.gives_way_to("one"), std::nullopt);
}

TEST(QuotaAddress, IsAnIpv4AddressOrTheSixtyFourOfAnIpv6One) {
  EXPECT_EQ(quota_address("192.0.2.7"), "192.0.2.7");
  EXPECT_EQ(quota_address("::ffff:192.0.2.7"), "192.0.2.7");
  EXPECT_EQ(quota_address("2001:db8:0:1::5"), "2001:db8:0:1::/64");
  EXPECT_EQ(quota_address("2001:db8:0:1:ffff::1"), quota_address("2001:db8:0:1::5"));
  EXPECT_NE(quota_address("2001:db8:0:2::5"), quota_address("2001:db8:0:1::5"));
  EXPECT_EQ(quota_address("somewhere"), "somewhere");
}

}  // namespace
}  // namespace ptrain::relay
