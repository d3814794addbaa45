// What a relay behind a router tells others of its host and ports.

#include "tools/relay/outside_word.h"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ptrain::relay {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Reached inside() {
  Reached reached;
  reached.relay.control = net::parse_endpoint("tcp://192.168.1.2:7100");
  reached.relay.data_port = 7101;
  reached.echo = {7102, 7103};
  return reached;
}
net::OutsidePort mapped(std::uint16_t port, std::uint16_t outside) {
  return {.protocol = "tcp", .port = port, .host = "198.51.100.7", .outside = outside};
}

TEST(OutsideWord, HostAndPortsAreThoseThatTheRouterMaps) {
  const Reached reached = reached_outside(
      inside(),
      {mapped(7100, 40000), mapped(7101, 40001), mapped(7102, 40002), mapped(7103, 40003)}, false);
  EXPECT_EQ(to_string(reached.relay.control), "tcp://198.51.100.7:40000");
  EXPECT_EQ(reached.relay.data_port, 40001);
  EXPECT_EQ(reached.echo, (std::array<std::uint16_t, 2>{40002, 40003}));
  EXPECT_THAT(reached.unmapped, IsEmpty());
}

TEST(OutsideWord, ANameOfTheOperatorsStands) {
  const Reached reached =
      reached_outside(inside(), {mapped(7100, 40000), mapped(7101, 40001)}, true);
  EXPECT_EQ(to_string(reached.relay.control), "tcp://192.168.1.2:40000");
}

TEST(OutsideWord, AnEchoThatNobodyReachesIsNotToldOf) {
  EXPECT_FALSE(reached_outside(inside(), {mapped(7100, 7100), mapped(7101, 7101)}, false).echo);
  EXPECT_FALSE(
      reached_outside(inside(), {mapped(7100, 7100), mapped(7101, 7101), mapped(7102, 7102)}, false)
          .echo);
}

TEST(OutsideWord, PortsThatAreNotMappedAreNamed) {
  EXPECT_THAT(reached_outside(inside(), {}, false).unmapped, ElementsAre(7100, 7101));
  EXPECT_THAT(reached_outside(inside(), {mapped(7100, 7100)}, false).unmapped, ElementsAre(7101));
}

}  // namespace
}  // namespace ptrain::relay
