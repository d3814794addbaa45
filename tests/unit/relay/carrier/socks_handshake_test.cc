#include "tools/relay/carrier/socks_handshake.h"

#include <algorithm>
#include <initializer_list>

#include <gtest/gtest.h>

#include "tools/relay/carrier/token_desk.h"

namespace ptrain::relay {
namespace {

const std::string kGreeting("\x05\x01\x00", 3);
const std::string kToken(kTokenChars, 'a');
const std::string kPort("\x1b\xbc", 2);

std::string bytes(std::initializer_list<int> values) {
  std::string text;
  for (const int value : values) text.push_back(static_cast<char>(value));
  return text;
}

std::string request(const std::string& name) {
  return bytes({5, 1, 0, 3, static_cast<int>(name.size())}) + name + kPort;
}

// As a socket gives it: at most what is wanted at a time.
std::string give(SocksHandshake& handshake, std::string_view text) {
  std::string answers;
  while (!text.empty() && handshake.wanted() > 0) {
    const std::size_t taken = std::min(text.size(), handshake.wanted());
    answers += handshake.take(text.substr(0, taken));
    text.remove_prefix(taken);
  }
  return answers;
}

std::string code(SocksReply reply) { return bytes({5, static_cast<int>(reply)}); }

// The answer to a request that follows a good greeting.
std::string answer_to(const std::string& text) {
  SocksHandshake handshake;
  give(handshake, kGreeting);
  const std::string answer = give(handshake, text);
  EXPECT_EQ(handshake.wanted(), 0u);
  EXPECT_FALSE(handshake.token());
  return answer.substr(0, 2);
}

TEST(SocksHandshake, ATokenIsWhatIsConnectedTo) {
  for (const std::string& name : {kToken, kToken + ".invalid"}) {
    SocksHandshake handshake;
    EXPECT_EQ(give(handshake, kGreeting), bytes({5, 0}));
    EXPECT_EQ(give(handshake, request(name)), "");
    EXPECT_EQ(handshake.wanted(), 0u);
    EXPECT_EQ(handshake.token(), kToken);
  }
}

TEST(SocksHandshake, ItTakesTheSameByteByByte) {
  SocksHandshake handshake;
  for (const char byte : kGreeting + request(kToken)) handshake.take(std::string_view(&byte, 1));
  EXPECT_EQ(handshake.token(), kToken);
}

TEST(SocksHandshake, ItNeverWantsAByteBeyondTheRequest) {
  const std::string whole = kGreeting + request(kToken);
  SocksHandshake handshake;
  for (std::size_t given = 0; given < whole.size(); ++given) {
    ASSERT_GE(handshake.wanted(), 1u);
    ASSERT_LE(given + handshake.wanted(), whole.size());
    handshake.take(std::string_view(whole).substr(given, 1));
  }
  EXPECT_EQ(handshake.wanted(), 0u);
}

TEST(SocksHandshake, AClientMayOfferOtherMethodsAsWell) {
  SocksHandshake handshake;
  EXPECT_EQ(give(handshake, bytes({5, 3, 2, 1, 0})), bytes({5, 0}));
}

TEST(SocksHandshake, WithoutAMethodOfOursItIsRefused) {
  for (const std::string& greeting :
       {bytes({5, 0}), bytes({5, 2, 1, 2}), bytes({5, 255}) + std::string(255, '\x02')}) {
    SocksHandshake handshake;
    EXPECT_EQ(give(handshake, greeting), bytes({5, 255}));
    EXPECT_EQ(handshake.wanted(), 0u);
    EXPECT_FALSE(handshake.token());
  }
}

TEST(SocksHandshake, AnotherProtocolGetsNoAnswer) {
  for (const char* text : {"GET / HTTP/1.1\r\n\r\n", "\x04\x01", "\x16\x03\x01"}) {
    SocksHandshake handshake;
    EXPECT_EQ(give(handshake, text), "");
    EXPECT_EQ(handshake.wanted(), 0u);
    EXPECT_FALSE(handshake.token());
  }
}

TEST(SocksHandshake, NoAddressIsAllowed) {
  for (const auto& address : {bytes({127, 0, 0, 1}), bytes({10, 0, 0, 1}), bytes({8, 8, 8, 8})}) {
    EXPECT_EQ(answer_to(bytes({5, 1, 0, 1}) + address + kPort), code(SocksReply::not_allowed));
  }
  EXPECT_EQ(answer_to(bytes({5, 1, 0, 4}) + std::string(16, '\1') + kPort),
            code(SocksReply::not_allowed));
}

TEST(SocksHandshake, NoNameButATokenIsAllowed) {
  const std::string letter_too_much = kToken + "a";
  for (const std::string& name :
       {std::string("localhost"), std::string("example.com"), std::string(".invalid"),
        std::string(255, 'a'), letter_too_much, kToken.substr(1), kToken + ".invalid.invalid",
        kToken + ".example", std::string(kTokenChars, 'A'), std::string(kTokenChars, '1'),
        std::string(kTokenChars, '\0'), std::string()}) {
    EXPECT_EQ(answer_to(request(name)), code(SocksReply::not_allowed)) << name;
  }
}

TEST(SocksHandshake, NoCommandButConnectIsSupported) {
  for (const int command : {0, 2, 3, 4, 255}) {
    EXPECT_EQ(answer_to(bytes({5, command, 0, 3})), code(SocksReply::command_not_supported));
  }
}

TEST(SocksHandshake, AKindOfAddressThatIsNoneIsNotSupported) {
  for (const int kind : {0, 2, 5, 255}) {
    EXPECT_EQ(answer_to(bytes({5, 1, 0, kind})), code(SocksReply::address_not_supported));
  }
}

TEST(SocksHandshake, ARequestOfAnotherVersionFails) {
  EXPECT_EQ(answer_to(bytes({4, 1, 0, 3})), code(SocksReply::failure));
}

}  // namespace
}  // namespace ptrain::relay
