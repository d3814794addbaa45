#include "libcommon/base/sha256.h"

#include <gtest/gtest.h>

namespace ptrain {
namespace {

// Test vectors of FIPS 180-4, as published by NIST.
TEST(Sha256, MatchesThePublishedVectors) {
  EXPECT_EQ(to_hex(sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(to_hex(sha256("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Sha256, PiecesHashAsTheWhole) {
  EXPECT_EQ(Sha256().update("a").update("bc").digest(), sha256("abc"));
}

TEST(Sha256, SoFarIsOfWhatWasGivenAndEndsNothing) {
  Sha256 hash;
  hash.update("a");
  EXPECT_EQ(hash.so_far(), sha256("a"));
  EXPECT_EQ(hash.update("bc").digest(), sha256("abc"));
}

TEST(Sha256, HexadecimalReadsBackAndNothingElseDoes) {
  const Sha256Digest digest = sha256("abc");
  const std::string hex = to_hex(digest);
  EXPECT_EQ(sha256_from_hex(hex), digest);
  EXPECT_EQ(sha256_from_hex(hex.substr(1)), std::nullopt);
  EXPECT_EQ(sha256_from_hex(hex + "0"), std::nullopt);
  EXPECT_EQ(sha256_from_hex("A" + hex.substr(1)), std::nullopt);
  EXPECT_EQ(sha256_from_hex("g" + hex.substr(1)), std::nullopt);
}

}  // namespace
}  // namespace ptrain
