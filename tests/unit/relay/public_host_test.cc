#include "tools/relay/public_host.h"

#include <gtest/gtest.h>

#include "libcommon/base/error.h"

namespace ptrain::relay {
namespace {

TEST(PublicHost, NamesAndAddressesAreTakenAsEndpointsHaveThem) {
  for (const char* text : {"relay.example.net", "relay", "a_b.example", "xn--bcher-kva.example",
                           "203.0.113.9", "10.0.0.7", "localhost", "relay7", "7.example.net."}) {
    EXPECT_EQ(parse_public_host(text), text);
  }
  EXPECT_EQ(parse_public_host("2001:db8::7"), "[2001:db8::7]");
  EXPECT_EQ(parse_public_host("[2001:db8::7]"), "[2001:db8::7]");
}

TEST(PublicHost, WhatIsMoreOrLessThanAHostIsRefused) {
  for (const char* text : {"",
                           "relay.example.net:7100",
                           "10.0.0.7:7100",
                           "[2001:db8::7]:7100",
                           "tcp://relay.example.net",
                           "https://relay.example.net/",
                           "relay example",
                           " relay",
                           "relay/",
                           "relay#key",
                           "0.0.0.0",
                           "::",
                           "[::]",
                           "*",
                           "10.0.0",
                           "256.0.0.1",
                           "1.2.3.4.5",
                           "-relay",
                           "a..b",
                           ".relay",
                           "[relay]",
                           "[10.0.0.7]",
                           "fe80::1%eth0"}) {
    EXPECT_THROW(parse_public_host(text), Error) << text;
  }
  EXPECT_THROW(parse_public_host(std::string(254, 'a')), Error);
}

}  // namespace
}  // namespace ptrain::relay
