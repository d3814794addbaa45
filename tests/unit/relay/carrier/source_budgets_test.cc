#include "tools/relay/carrier/source_budgets.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

namespace ptrain::relay {
namespace {

using std::chrono::milliseconds;

const TimePoint kStart{};

SourceAddress source(const char* text) {
  sockaddr_storage address{};
  auto& v4 = reinterpret_cast<sockaddr_in&>(address);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(address);
  if (::inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
    address.ss_family = AF_INET;
  } else {
    EXPECT_EQ(::inet_pton(AF_INET6, text, &v6.sin6_addr), 1) << text;
    address.ss_family = AF_INET6;
  }
  return source_of(address);
}

TEST(SourceAddress, AnIpv6HostIsItsNetworkAndAnIpv4HostItself) {
  EXPECT_EQ(source("2001:db8:0:1::1"), source("2001:db8:0:1:ffff::2"));
  EXPECT_NE(source("2001:db8:0:1::1"), source("2001:db8:0:2::1"));
  EXPECT_NE(source("192.0.2.1"), source("192.0.2.2"));
  EXPECT_EQ(source("::ffff:192.0.2.1"), source("192.0.2.1"));
  EXPECT_NE(source("192.0.2.1"), source("c000:0201::"));
}

TEST(SourceBudgets, ASourceHasItsBurstAndNoMore) {
  SourceBudgets budgets({.burst = 3, .per_s = 1});
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(budgets.has(source("192.0.2.1"), kStart));
    budgets.spend(source("192.0.2.1"), kStart);
  }
  EXPECT_FALSE(budgets.has(source("192.0.2.1"), kStart));
  EXPECT_TRUE(budgets.has(source("192.0.2.2"), kStart));
}

TEST(SourceBudgets, WhatIsSpentComesBackAtTheRate) {
  SourceBudgets budgets({.burst = 2, .per_s = 1});
  for (int i = 0; i < 9; ++i) budgets.spend(source("192.0.2.1"), kStart);
  EXPECT_FALSE(budgets.has(source("192.0.2.1"), kStart + milliseconds(999)));
  EXPECT_TRUE(budgets.has(source("192.0.2.1"), kStart + milliseconds(1000)));
}

TEST(SourceBudgets, TheTableIsBoundedAndRecovers) {
  SourceBudgets budgets({.burst = 2, .per_s = 1, .sources = 2});
  budgets.spend(source("192.0.2.1"), kStart);
  EXPECT_TRUE(budgets.has(source("192.0.2.9"), kStart));
  budgets.spend(source("192.0.2.2"), kStart);
  EXPECT_TRUE(budgets.has(source("192.0.2.9"), kStart)) << "those two shut out nobody";
  budgets.spend(source("192.0.2.9"), kStart);
  EXPECT_EQ(budgets.remembered(), 2u);
  EXPECT_TRUE(budgets.has(source("192.0.2.1"), kStart)) << "who is known has what is left";
  EXPECT_TRUE(budgets.has(source("192.0.2.9"), kStart + std::chrono::seconds(2)));
  budgets.spend(source("192.0.2.9"), kStart + std::chrono::seconds(2));
  EXPECT_EQ(budgets.remembered(), 1u);
}

}  // namespace
}  // namespace ptrain::relay
