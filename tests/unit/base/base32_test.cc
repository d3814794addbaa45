#include "libcommon/base/base32.h"

#include <gtest/gtest.h>

namespace ptrain {
namespace {

std::string encoded(std::string_view text) { return to_base32(std::as_bytes(std::span(text))); }

TEST(Base32, AgreesWithRfc4648InLowerCaseWithoutPadding) {
  EXPECT_EQ(encoded(""), "");
  EXPECT_EQ(encoded("f"), "my");
  EXPECT_EQ(encoded("fo"), "mzxq");
  EXPECT_EQ(encoded("foo"), "mzxw6");
  EXPECT_EQ(encoded("foob"), "mzxw6yq");
  EXPECT_EQ(encoded("fooba"), "mzxw6ytb");
  EXPECT_EQ(encoded("foobar"), "mzxw6ytboi");
}

TEST(Base32, ReadsBackWhatItWrote) {
  std::vector<std::byte> bytes;
  for (int size = 0; size < 40; ++size) {
    EXPECT_EQ(from_base32(to_base32(bytes), bytes.size()), bytes);
    bytes.push_back(static_cast<std::byte>(size * 89 + 7));
  }
}

TEST(Base32, HasOneSpellingForEachValue) {
  EXPECT_FALSE(from_base32("mz", 1));  // the unused bits of "my" set
  EXPECT_FALSE(from_base32("MY", 1));
  EXPECT_FALSE(from_base32("m1", 1));
  EXPECT_FALSE(from_base32("my", 2));
  EXPECT_FALSE(from_base32("my=", 1));
}

}  // namespace
}  // namespace ptrain
