// Where a host's ports are reached from outside, as a file says that others replace.

#include "libcommon/net/outside_ports.h"

#include <filesystem>
#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "libcommon/base/error.h"

namespace ptrain::net {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(OutsidePorts, EachLineIsAProtocolAPortAndAnEndpoint) {
  const auto ports = parse_outside_ports(
      "tcp 7100 tcp://198.51.100.7:7100\nudp 7101 udp://198.51.100.7:40123\n"
      "tcp 7100 tcp://[2001:db8::5]:7100\n");
  ASSERT_EQ(ports.size(), 3u);
  EXPECT_EQ(
      ports[1],
      (OutsidePort{.protocol = "udp", .port = 7101, .host = "198.51.100.7", .outside = 40123}));
  EXPECT_EQ(ports[2].host, "[2001:db8::5]");
  ASSERT_NE(find_outside(ports, "tcp", 7100), nullptr);
  EXPECT_EQ(find_outside(ports, "tcp", 7100)->host, "198.51.100.7");
  EXPECT_EQ(find_outside(ports, "tcp", 7101), nullptr);
  EXPECT_THAT(parse_outside_ports(""), IsEmpty());
}

TEST(OutsidePorts, WhatIsNoSuchLineIsNamed) {
  for (const std::string line :
       {"tcp 7100", "sctp 7100 sctp://198.51.100.7:7100", "tcp 0 tcp://198.51.100.7:7100",
        "tcp 7100 tcp://198.51.100.7:0", "tcp 7100 udp://198.51.100.7:7100",
        "tcp 7100 tcp://example.net:7100", "tcp 70000 tcp://198.51.100.7:7100",
        "tcp 7100 tcp://198.51.100.7", "tcp 7100 tcp://198.51.100.7:7100 more"}) {
    try {
      parse_outside_ports("tcp 1 tcp://198.51.100.7:1\n" + line + "\n");
      ADD_FAILURE() << line;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::corrupt);
      EXPECT_THAT(error.what(), HasSubstr("line 2")) << line;
    }
  }
}

TEST(OutsidePorts, ThereIsAMostOfThem) {
  std::string text;
  for (std::size_t i = 0; i < kMostOutsidePorts; ++i) text += "tcp 1 tcp://198.51.100.7:1\n";
  EXPECT_EQ(parse_outside_ports(text).size(), kMostOutsidePorts);
  EXPECT_THROW(parse_outside_ports(text + "tcp 1 tcp://198.51.100.7:1\n"), Error);
}

struct OutsideFileOnDisk : testing::Test {
  std::filesystem::path path =
      std::filesystem::path(testing::TempDir()) / ("outside-" + std::to_string(::getpid()));
  TimePoint now{};

  ~OutsideFileOnDisk() override { std::filesystem::remove(path); }
  // As ptrain-punch does it.
  void replace(const std::string& text) const {
    const std::string fresh = path.string() + ".new";
    std::ofstream(fresh) << text;
    std::filesystem::rename(fresh, path);
  }
};

TEST_F(OutsideFileOnDisk, IsReadAgainWhenAnotherTakesItsPlace) {
  replace("tcp 7100 tcp://198.51.100.7:7100\n");
  OutsidePorts ports(path);
  EXPECT_TRUE(ports.look(now)) << "the first time";
  ASSERT_EQ(ports.ports().size(), 1u);
  replace("tcp 7100 tcp://198.51.100.7:7200\n");
  EXPECT_FALSE(ports.look(now + kOutsideLook - milliseconds(1))) << "too early";
  EXPECT_TRUE(ports.look(now + kOutsideLook));
  EXPECT_EQ(ports.ports()[0].outside, 7200);
  EXPECT_FALSE(ports.look(now + 2 * kOutsideLook)) << "it is the same file";
  replace("tcp 7100 tcp://198.51.100.7:7200\n");
  EXPECT_FALSE(ports.look(now + 3 * kOutsideLook)) << "it says the same";
  replace("");
  EXPECT_TRUE(ports.look(now + 4 * kOutsideLook));
  EXPECT_THAT(ports.ports(), IsEmpty());
  EXPECT_THAT(ports.flaw(), IsEmpty()) << "nothing is mapped now, and that is no flaw";
}

TEST_F(OutsideFileOnDisk, ThatIsNotThereOrSaysSomethingElseNamesNoPortsAndSaysWhy) {
  OutsidePorts ports(path);
  EXPECT_TRUE(ports.look(now));
  EXPECT_THAT(ports.flaw(), HasSubstr(path.string()));
  replace("tcp 7100 tcp://198.51.100.7:7100\n");
  EXPECT_TRUE(ports.look(now += kOutsideLook));
  EXPECT_EQ(ports.ports().size(), 1u);
  replace("nonsense\n");
  EXPECT_TRUE(ports.look(now += kOutsideLook));
  EXPECT_THAT(ports.ports(), IsEmpty());
  EXPECT_THAT(ports.flaw(), HasSubstr("line 1"));
  replace(std::string(kMostOutsideBytes + 1, '#'));
  EXPECT_TRUE(ports.look(now += kOutsideLook));
  EXPECT_THAT(ports.flaw(), HasSubstr(path.string()));
}

TEST(OutsidePorts, WhereTheEnvironmentNamesNoFileNothingIsLookedAt) {
  OutsidePorts ports({});
  EXPECT_FALSE(ports.look({}));
  EXPECT_EQ(ports.next_look(), TimePoint::max());
}

}  // namespace
}  // namespace ptrain::net
