#include "libcommon/base/signature.h"

#include <string>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "libcommon/base/error.h"

namespace ptrain {
namespace {

using Digest = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>;
using PKey = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

Digest new_digest() { return {EVP_MD_CTX_new(), &EVP_MD_CTX_free}; }

const unsigned char* octets(std::span<const std::byte> bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

void require(bool holds, const char* call) {
  if (!holds) throw Error(ErrorKind::internal, std::string("OpenSSL's ") + call + " failed");
}

}  // namespace

struct SigningKey::Key {
  explicit Key(EVP_PKEY* made) : key(made, &EVP_PKEY_free) {}
  PKey key;
};

SigningKey::SigningKey(std::span<const std::byte, 32> secret)
    : key_(std::make_unique<Key>(
          EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, octets(secret), secret.size()))) {
  require(key_->key != nullptr, "Ed25519 key");
  std::size_t size = verify_key_.size();
  require(EVP_PKEY_get_raw_public_key(key_->key.get(), verify_key_.data(), &size) == 1 &&
              size == verify_key_.size(),
          "Ed25519 public key");
}

SigningKey::~SigningKey() = default;
SigningKey::SigningKey(SigningKey&&) noexcept = default;
SigningKey& SigningKey::operator=(SigningKey&&) noexcept = default;

Signature SigningKey::sign(std::span<const std::byte> message) const {
  const Digest digest = new_digest();
  Signature signature;
  std::size_t size = signature.size();
  require(EVP_DigestSignInit(digest.get(), nullptr, nullptr, nullptr, key_->key.get()) == 1 &&
              EVP_DigestSign(digest.get(), signature.data(), &size, octets(message),
                             message.size()) == 1 &&
              size == signature.size(),
          "Ed25519 signature");
  return signature;
}

bool verify(const VerifyKey& key, std::span<const std::byte> message, const Signature& signature) {
  const PKey pkey(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, key.data(), key.size()),
                  &EVP_PKEY_free);
  const Digest digest = new_digest();
  const bool valid =
      pkey != nullptr &&
      EVP_DigestVerifyInit(digest.get(), nullptr, nullptr, nullptr, pkey.get()) == 1 &&
      EVP_DigestVerify(digest.get(), signature.data(), signature.size(), octets(message),
                       message.size()) == 1;
  ERR_clear_error();  // a bad signature is an expected outcome
  return valid;
}

}  // namespace ptrain
