// Ed25519 signatures (RFC 8032) through OpenSSL. A signing key is 32 secret bytes, so that it
// can be derived from another secret; its public half is what others verify with.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace ptrain {

using VerifyKey = std::array<std::uint8_t, 32>;
using Signature = std::array<std::uint8_t, 64>;

// Move-only: the secret half has one owner, who wipes it. One thread at a time.
class SigningKey {
 public:
  explicit SigningKey(std::span<const std::byte, 32> secret);
  ~SigningKey();
  SigningKey(SigningKey&&) noexcept;
  SigningKey& operator=(SigningKey&&) noexcept;

  const VerifyKey& verify_key() const { return verify_key_; }
  Signature sign(std::span<const std::byte> message) const;

 private:
  struct Key;
  std::unique_ptr<Key> key_;
  VerifyKey verify_key_{};
};

// False also for a key that is none.
bool verify(const VerifyKey& key, std::span<const std::byte> message, const Signature& signature);

}  // namespace ptrain
