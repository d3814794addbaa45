#include "libcommon/net/peer_id.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "libcommon/base/base32.h"
#include "libcommon/base/sha256.h"

namespace ptrain::net {
namespace {

TEST(PeerId, IsTheBeginningOfTheKeysHashInBase32) {
  PublicKey key{};
  key[0] = 7;
  const Sha256Digest digest = sha256(std::as_bytes(std::span(key)));
  EXPECT_EQ(PeerId(key).to_string(), to_base32(std::span(digest).first(20)));
  EXPECT_EQ(PeerId(key).to_string().size(), PeerId::kChars);
}

TEST(PeerId, ReadsBackWhatItPrints) {
  PublicKey key{};
  for (std::uint8_t i = 0; i < 50; ++i) {
    key[i % 32] ^= i;
    const PeerId id(key);
    EXPECT_EQ(PeerId::parse(id.to_string()), id);
  }
}

TEST(PeerId, DiffersFromKeyToKeyAndOrdersThem) {
  PublicKey one{};
  PublicKey two{};
  two[31] = 1;
  EXPECT_NE(PeerId(one), PeerId(two));
  EXPECT_TRUE(PeerId(one) < PeerId(two) || PeerId(two) < PeerId(one));
}

TEST(PeerId, RefusesWhatItDidNotPrint) {
  std::string text = PeerId(PublicKey{}).to_string();
  EXPECT_FALSE(PeerId::parse(""));
  EXPECT_FALSE(PeerId::parse(text.substr(1)));
  EXPECT_FALSE(PeerId::parse(text + "a"));
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::toupper(c); });
  EXPECT_FALSE(PeerId::parse(text));
}

}  // namespace
}  // namespace ptrain::net
