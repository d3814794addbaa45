#include "libcommon/base/keyed_hash.h"

#include <string>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "libcommon/base/error.h"

namespace ptrain {

Sha256Digest hmac_sha256(std::span<const std::byte> key, std::span<const std::byte> message) {
  Sha256Digest digest;
  unsigned size = 0;
  const auto* result = HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                            reinterpret_cast<const unsigned char*>(message.data()), message.size(),
                            reinterpret_cast<unsigned char*>(digest.data()), &size);
  if (result == nullptr || size != digest.size()) {
    throw Error(ErrorKind::internal, "OpenSSL's HMAC-SHA256 failed");
  }
  return digest;
}

Sha256Digest hkdf_sha256(std::span<const std::byte> secret, std::string_view info) {
  // RFC 5869 with an absent salt (a block of zeros) and one block of output.
  const Sha256Digest zeros{};
  Sha256Digest extracted = hmac_sha256(zeros, secret);
  std::string block(info);
  block.push_back('\1');
  const Sha256Digest derived = hmac_sha256(extracted, std::as_bytes(std::span(block)));
  OPENSSL_cleanse(extracted.data(), extracted.size());
  return derived;
}

bool equal_in_constant_time(std::span<const std::byte> a, std::span<const std::byte> b) {
  if (a.size() != b.size()) return false;
  return a.empty() || CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace ptrain
