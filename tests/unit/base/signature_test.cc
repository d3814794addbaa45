#include "libcommon/base/signature.h"

#include <vector>

#include <gtest/gtest.h>

#include "libcommon/base/bytes_of.h"
#include "libcommon/base/sha256.h"

namespace ptrain {
namespace {

// RFC 8032, section 7.1, test 1: the empty message.
TEST(Signature, AgreesWithRfc8032) {
  const auto secret =
      sha256_from_hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
  const SigningKey key(*secret);
  EXPECT_EQ(to_hex(std::as_bytes(std::span(key.verify_key()))),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
  const Signature signature = key.sign({});
  EXPECT_EQ(to_hex(std::as_bytes(std::span(signature))),
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b");
}

TEST(Signature, HoldsForItsMessageAndKeyAlone) {
  const SigningKey key(sha256(std::string_view("one")));
  const SigningKey other(sha256(std::string_view("two")));
  Signature signature = key.sign(bytes_of("message"));
  EXPECT_TRUE(verify(key.verify_key(), bytes_of("message"), signature));
  EXPECT_FALSE(verify(key.verify_key(), bytes_of("massage"), signature));
  EXPECT_FALSE(verify(other.verify_key(), bytes_of("message"), signature));
  signature[40] ^= 1;
  EXPECT_FALSE(verify(key.verify_key(), bytes_of("message"), signature));
}

TEST(Signature, IsRefusedUnderAKeyThatIsNone) {
  const SigningKey key(sha256(std::string_view("one")));
  VerifyKey none;
  none.fill(0xff);
  EXPECT_FALSE(verify(none, bytes_of("message"), key.sign(bytes_of("message"))));
}

}  // namespace
}  // namespace ptrain
