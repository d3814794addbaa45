#include "libcommon/net/peer_id.h"

#include <algorithm>
#include <span>

#include "libcommon/base/base32.h"
#include "libcommon/base/sha256.h"

namespace ptrain::net {

KeyFingerprint::KeyFingerprint(std::array<std::uint8_t, 32> public_key) {
  const Sha256Digest digest = sha256(std::as_bytes(std::span(public_key)));
  std::copy_n(digest.begin(), kBytes, bytes_.begin());
}

std::optional<KeyFingerprint> KeyFingerprint::parse(std::string_view text) {
  const auto bytes = from_base32(text, kBytes);
  if (!bytes) return std::nullopt;
  KeyFingerprint fingerprint;
  std::ranges::copy(*bytes, fingerprint.bytes_.begin());
  return fingerprint;
}

std::string KeyFingerprint::text() const { return to_base32(bytes_); }

std::optional<PeerId> PeerId::parse(std::string_view text) {
  const auto fingerprint = KeyFingerprint::parse(text);
  return fingerprint ? std::optional(PeerId(*fingerprint)) : std::nullopt;
}

std::optional<RunId> RunId::parse(std::string_view text) {
  const auto fingerprint = KeyFingerprint::parse(text);
  return fingerprint ? std::optional(RunId(*fingerprint)) : std::nullopt;
}

}  // namespace ptrain::net
