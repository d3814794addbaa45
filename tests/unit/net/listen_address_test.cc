#include "libcommon/net/listen_address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/net/serving.h"

namespace ptrain::net {
namespace {

using testing::HasSubstr;

// A host with the interface eth0 and the address 192.0.2.7.
NameKnowledge knowing(const std::string& address) {
  return {.is_interface = [](const std::string& name) { return name == "eth0"; },
          .is_address_here = [](const std::string& text) { return text == "192.0.2.7"; },
          .look_up = [address](const std::string&) { return address; }};
}

TEST(ListenAddress, OfANameIsItsAddressWhereThatIsOurs) {
  EXPECT_EQ(listen_address("one.example.net", knowing("192.0.2.7")),
            (ListenAddress{"192.0.2.7", ""}));
}

TEST(ListenAddress, OfAnotherHostsNameIsAllAddressesAndSaysSo) {
  const ListenAddress at = listen_address("one.example.net", knowing("198.51.100.1"));
  EXPECT_EQ(at.host, "0.0.0.0");
  EXPECT_THAT(at.remark, HasSubstr("one.example.net is 198.51.100.1, which is no address of this "
                                   "host: listening at all addresses"));
}

TEST(ListenAddress, OfANameThatIsLoopbackHereOnlyIsAllAddresses) {
  const ListenAddress at = listen_address("one", knowing("127.0.1.1"));
  EXPECT_EQ(at.host, "0.0.0.0");
  EXPECT_THAT(at.remark, HasSubstr("one is 127.0.1.1 here"));
}

TEST(ListenAddress, OfANameThatNobodyKnowsIsAllAddresses) {
  const ListenAddress at = listen_address("one.example.net", knowing(""));
  EXPECT_EQ(at.host, "0.0.0.0");
  EXPECT_THAT(at.remark, HasSubstr("no address of one.example.net is known here"));
}

TEST(ListenAddress, WhatNeedsNoLookUpIsItself) {
  NameKnowledge knowledge = knowing("198.51.100.1");
  knowledge.look_up = [](const std::string& host) -> std::string {
    ADD_FAILURE() << host << " is looked up";
    return "";
  };
  for (const char* host : {"0.0.0.0", "*", "[::]", "[::1]", "203.0.113.9", "eth0"}) {
    EXPECT_EQ(listen_address(host, knowledge), (ListenAddress{host, ""}));
  }
}

// A plain socket may be bound there: it must not be open to others, whatever a resolver says.
TEST(ListenAddress, OfLocalhostIsNeverWidened) {
  NameKnowledge knowledge = knowing("198.51.100.1");
  EXPECT_EQ(listen_address("localhost", knowledge), (ListenAddress{"127.0.0.1", ""}));
}

TEST(ListenAddress, AServerListensAtLocalhost) {
  NullLog log;
  const SteadyClock clock;
  NodeOptions options = serving_options({});
  options.listen = parse_endpoint("tcp://localhost:0");
  const ServingNode server(std::move(options), {}, log, clock);
  EXPECT_EQ(server.listening().host, "localhost");
  EXPECT_NE(server.listening().port, 0);
}

// RFC 6761: no resolver may know it.
TEST(ListenAddress, AServerListensWhereItsNameMeansNothing) {
  struct Remembering final : Log {
    void info(std::string_view) override {}
    void warning(std::string_view line) override { said += line; }
    std::string said;
  } log;
  const SteadyClock clock;
  NodeOptions options = serving_options({});
  options.listen = parse_endpoint("tcp://nowhere.invalid:0");
  options.key = KeyPair::generate();
  const ServingNode server(std::move(options), {}, log, clock);
  EXPECT_EQ(server.listening().host, "nowhere.invalid");
  EXPECT_THAT(log.said, HasSubstr("no address of nowhere.invalid is known here"));
}

}  // namespace
}  // namespace ptrain::net
