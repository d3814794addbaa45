// What a host says of where it can be dialled.

#include "libcommon/net/host_addresses.h"

#include <gtest/gtest.h>

#include "libcommon/net/address_reach.h"

namespace ptrain::net {
namespace {

TEST(HostAddresses, OneAddressIsToldAsItIs) {
  for (const char* text : {"tcp://127.0.0.1:7000", "tcp://host.example.net:7000",
                           "tcp://203.0.113.9:1", "tcp://[::1]:7000", "ipc:///tmp/socket"}) {
    EXPECT_EQ(to_string(as_dialled(parse_endpoint(text))), text);
  }
}

TEST(HostAddresses, OfAllAddressesOneIsToldThatCanBeDialled) {
  const std::string key(64, 'a');
  for (const char* text : {"tcp://0.0.0.0:7000#", "tcp://*:7000#", "tcp://[::]:7000#"}) {
    const Endpoint bound = parse_endpoint(text + key);
    const Endpoint told = as_dialled(bound);
    EXPECT_EQ(told.port, bound.port);
    EXPECT_EQ(told.key, bound.key);
    const auto address = parse_address(told.host);
    ASSERT_TRUE(address) << told.host;
    const auto none = parse_address("0.0.0.0");
    EXPECT_NE(address, none);
    EXPECT_NE(*address, AddressBytes{});
  }
}

}  // namespace
}  // namespace ptrain::net
