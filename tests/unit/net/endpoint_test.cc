#include "libcommon/net/endpoint.h"

#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/base/error.h"

namespace ptrain::net {
namespace {

using testing::HasSubstr;

const std::string kKey = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

TEST(Endpoint, EveryFormPrintsAsItWasParsed) {
  for (const std::string& text : std::vector<std::string>{
           "tcp://127.0.0.1:7000",
           "tcp://host.example:1#" + kKey,
           "tcp://[::1]:65535",
           "tcp://*:0",
           "tcp://0.0.0.0:40000;198.51.100.7:40001#" + kKey,
           "socks5://relay.example:1080/Tok-en.1#" + kKey,
           "ipc:///run/ptrain/stage-0",
       }) {
    EXPECT_EQ(to_string(parse_endpoint(text)), text);
    EXPECT_EQ(parse_endpoint(text), parse_endpoint(text));
  }
}

TEST(Endpoint, ItsPartsAreWhatTheySay) {
  const Endpoint punched = parse_endpoint("tcp://0.0.0.0:40000;198.51.100.7:40001#" + kKey);
  EXPECT_EQ(punched.kind, EndpointKind::punched);
  EXPECT_EQ(punched.local_port, 40000);
  EXPECT_EQ(punched.host, "198.51.100.7");
  EXPECT_EQ(punched.port, 40001);
  EXPECT_EQ(to_hex(*punched.key), kKey);
  const Endpoint relayed = parse_endpoint("socks5://relay:1080/tok");
  EXPECT_EQ(relayed.kind, EndpointKind::relayed);
  EXPECT_EQ(relayed.token, "tok");
}

TEST(Endpoint, OnlyLoopbackAndIpcAreLocal) {
  for (const char* text : {"tcp://127.0.0.1:1", "tcp://127.1.2.3:1", "tcp://localhost:1",
                           "tcp://[::1]:1", "ipc://x"}) {
    EXPECT_TRUE(parse_endpoint(text).is_local()) << text;
  }
  for (const char* text :
       {"tcp://0.0.0.0:1", "tcp://*:1", "tcp://10.0.0.1:1", "tcp://host:1", "tcp://127.evil.test:1",
        "tcp://127.1:1", "socks5://127.0.0.1:1/t", "tcp://0.0.0.0:1;127.0.0.1:2"}) {
    EXPECT_FALSE(parse_endpoint(text).is_local()) << text;
  }
}

TEST(Endpoint, RefusalsNameTheTextAndTheFlaw) {
  const std::pair<std::string, std::string> cases[] = {
      {"", "begins with none"},
      {"http://x:1", "begins with none"},
      {"tcp://x", "no :PORT"},
      {"tcp://:1", "no host"},
      {"tcp://x:65536", "port '65536'"},
      {"tcp://x:", "port ''"},
      {"tcp://x:-1", "port '-1'"},
      {"tcp://a b:1", "no host"},
      {"tcp://::1:1", "brackets"},
      {"tcp://[name]:1", "'[name]' is no IPv6 address"},
      {"tcp://[127.0.0.1]:1", "is no IPv6 address"},
      {"tcp://[::1:1", "brackets"},
      {"tcp://x:1#abc", "64 hexadecimal digits"},
      {"tcp://x:1#" + std::string(64, 'g'), "64 hexadecimal digits"},
      {"socks5://x:1", "no /TOKEN"},
      {"socks5://x:1/", "0 characters"},
      {"socks5://x:1/" + std::string(65, 't'), "65 characters"},
      {"socks5://x:1/a b", "letters, digits"},
      {"ipc://", "0 bytes"},
      {"ipc://" + std::string(108, 'p'), "108 bytes"},
      {"tcp://" + std::string(600, 'h') + ":1", "at most 512"},
  };
  for (const auto& [text, flaw] : cases) {
    try {
      parse_endpoint(text);
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::usage);
      EXPECT_THAT(error.what(), HasSubstr(flaw)) << text;
      EXPECT_THAT(error.hint(), HasSubstr("tcp://HOST:PORT#KEY"));
    }
  }
}

TEST(Endpoint, TheLongestTokenAndIpcPathAreAllowed) {
  EXPECT_NO_THROW(parse_endpoint("socks5://x:1/" + std::string(64, 't')));
  EXPECT_NO_THROW(parse_endpoint("ipc://" + std::string(107, 'p')));
}

}  // namespace
}  // namespace ptrain::net
