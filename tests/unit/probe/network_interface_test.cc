// Through which interface a path leads.

#include "libcommon/probe/network_interface.h"

#include <gtest/gtest.h>
#include <net/if_arp.h>

namespace ptrain::probe {
namespace {

TEST(NetworkInterface, LoopbackIsNoTunnel) {
  for (const char* path :
       {"tcp://127.0.0.1:7000", "tcp://127.0.0.1:7000#key", "socks5://127.0.0.1:7101/token"}) {
    const auto interface = interface_towards(path);
    ASSERT_TRUE(interface) << path;
    EXPECT_EQ(*interface, (NetworkInterface{.name = "lo", .tunnel = false})) << path;
  }
}

TEST(NetworkInterface, ASocketFileHasNone) {
  EXPECT_FALSE(interface_towards("ipc:///tmp/socket"));
  EXPECT_FALSE(interface_towards(""));
  EXPECT_FALSE(interface_towards("tcp://"));
  EXPECT_FALSE(interface_towards("tcp://no-port"));
}

TEST(NetworkInterface, WhatWrapsAgainIsATunnel) {
  EXPECT_TRUE(is_tunnel(ARPHRD_NONE));  // WireGuard, tun
  EXPECT_TRUE(is_tunnel(ARPHRD_IPGRE));
  EXPECT_TRUE(is_tunnel(ARPHRD_PPP));
  EXPECT_FALSE(is_tunnel(ARPHRD_ETHER));
  EXPECT_FALSE(is_tunnel(ARPHRD_LOOPBACK));
}

}  // namespace
}  // namespace ptrain::probe
