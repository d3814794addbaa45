// Where a relay's echo says that a question came from.

#include "libcommon/net/echo_question.h"

#include <cstring>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace ptrain::net {
namespace {

const EchoCookie kCookie{std::byte{1}, std::byte{2}, std::byte{3}};

std::vector<std::byte> answer(int family, std::uint16_t port, std::vector<int> address) {
  std::vector<std::byte> bytes(kEchoAnswerBytes);
  std::memcpy(bytes.data(), "ptrecho!", 8);
  std::memcpy(bytes.data() + 8, kCookie.data(), kCookie.size());
  bytes[16] = static_cast<std::byte>(family);
  bytes[18] = static_cast<std::byte>(port >> 8);
  bytes[19] = static_cast<std::byte>(port & 0xff);
  for (std::size_t i = 0; i < address.size(); ++i) {
    bytes[20 + i] = static_cast<std::byte>(address[i]);
  }
  return bytes;
}

TEST(EchoQuestion, IsThatWhichRelaysAnswer) {
  const auto question = echo_question(kCookie);
  EXPECT_EQ(std::memcmp(question.data(), "ptrecho?\1\2\3\0\0\0\0\0", 16), 0);
  for (std::size_t i = 16; i < question.size(); ++i) EXPECT_EQ(question[i], std::byte{0});
}

TEST(EchoQuestion, TheAnswerIsAnAddressAndAPort) {
  EXPECT_EQ(to_string(*read_echo_answer(answer(4, 40123, {198, 51, 100, 7}), kCookie)),
            "tcp://198.51.100.7:40123");
  EXPECT_EQ(to_string(*read_echo_answer(answer(6, 7, {0x20, 0x01, 0x0d, 0xb8}), kCookie)),
            "tcp://[2001:db8::]:7");
}

TEST(EchoQuestion, WhatIsNoAnswerSaysNothing) {
  auto wrong = answer(4, 40123, {198, 51, 100, 7});
  EXPECT_TRUE(read_echo_answer(wrong, kCookie));
  EXPECT_FALSE(read_echo_answer(wrong, EchoCookie{}));
  EXPECT_FALSE(read_echo_answer(answer(5, 40123, {198, 51, 100, 7}), kCookie));
  EXPECT_FALSE(read_echo_answer(answer(4, 0, {198, 51, 100, 7}), kCookie));
  wrong[0] = std::byte{'q'};
  EXPECT_FALSE(read_echo_answer(wrong, kCookie));
  wrong.pop_back();
  EXPECT_FALSE(read_echo_answer(wrong, kCookie));
}

}  // namespace
}  // namespace ptrain::net
