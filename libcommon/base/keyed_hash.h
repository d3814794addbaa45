// HMAC-SHA256 (RFC 2104) and HKDF-SHA256 (RFC 5869) through OpenSSL: proofs and keys out of
// one secret. A key derived for one purpose says nothing about another's, nor about the secret.

#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "libcommon/base/sha256.h"

namespace ptrain {

Sha256Digest hmac_sha256(std::span<const std::byte> key, std::span<const std::byte> message);

// 32 bytes for the purpose that `info` names; no salt, since the secret is random.
Sha256Digest hkdf_sha256(std::span<const std::byte> secret, std::string_view info);

// Takes as long for values that differ early as for those that differ late.
bool equal_in_constant_time(std::span<const std::byte> a, std::span<const std::byte> b);

}  // namespace ptrain
