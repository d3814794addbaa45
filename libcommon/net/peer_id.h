// What a person calls a peer, and a run: 32 characters of base32 that follow from a public
// key, so that nobody can choose another's.
//
// The first 20 bytes of SHA-256 over the key. Values.

#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "libcommon/base/signature.h"
#include "libcommon/net/endpoint.h"

namespace ptrain::net {

class KeyFingerprint {
 public:
  static constexpr std::size_t kBytes = 20;
  static constexpr std::size_t kChars = 32;

  auto operator<=>(const KeyFingerprint&) const = default;

 protected:
  KeyFingerprint() = default;
  explicit KeyFingerprint(std::array<std::uint8_t, 32> public_key);
  static std::optional<KeyFingerprint> parse(std::string_view text);
  std::string text() const;

 private:
  std::array<std::byte, kBytes> bytes_{};
};

// From a host's CURVE public key.
class PeerId final : public KeyFingerprint {
 public:
  PeerId() = default;
  explicit PeerId(const PublicKey& key) : KeyFingerprint(key) {}
  static std::optional<PeerId> parse(std::string_view text);
  std::string to_string() const { return text(); }

 private:
  explicit PeerId(const KeyFingerprint& fingerprint) : KeyFingerprint(fingerprint) {}
};

// From the public half of the key with which the run's maker says who may join (net/issuer.h).
class RunId final : public KeyFingerprint {
 public:
  RunId() = default;
  explicit RunId(const VerifyKey& key) : KeyFingerprint(key) {}
  static std::optional<RunId> parse(std::string_view text);
  std::string to_string() const { return text(); }

 private:
  explicit RunId(const KeyFingerprint& fingerprint) : KeyFingerprint(fingerprint) {}
};

}  // namespace ptrain::net
