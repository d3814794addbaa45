#include "libcommon/base/keyed_hash.h"

#include <vector>

#include <gtest/gtest.h>

#include "libcommon/base/bytes_of.h"

namespace ptrain {
namespace {

TEST(KeyedHash, AgreesWithRfc4231) {
  // Test cases 1 and 2.
  const std::vector<std::byte> key(20, std::byte{0x0b});
  EXPECT_EQ(to_hex(hmac_sha256(key, bytes_of("Hi There"))),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(to_hex(hmac_sha256(bytes_of("Jefe"), bytes_of("what do ya want for nothing?"))),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(KeyedHash, DerivesAsRfc5869WithoutSalt) {
  // Test case 3: empty info; the first 32 of its 42 bytes.
  const std::vector<std::byte> secret(22, std::byte{0x0b});
  EXPECT_EQ(to_hex(hkdf_sha256(secret, "")),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d");
}

TEST(KeyedHash, ComparesAllBytes) {
  EXPECT_TRUE(equal_in_constant_time(bytes_of("abc"), bytes_of("abc")));
  EXPECT_TRUE(equal_in_constant_time({}, {}));
  EXPECT_FALSE(equal_in_constant_time(bytes_of("abc"), bytes_of("abd")));
  EXPECT_FALSE(equal_in_constant_time(bytes_of("abc"), bytes_of("ab")));
}

}  // namespace
}  // namespace ptrain
