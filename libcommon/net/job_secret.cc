#include "libcommon/net/job_secret.h"

#include <span>
#include <string>

#include <string.h>

#include "libcommon/base/keyed_hash.h"

namespace ptrain::net {
namespace {

constexpr std::string_view kMemberKeyPurpose = "ptrain member key v2";
constexpr std::string_view kProofPurpose = "ptrain peer proof v1";

template <class Bytes>
void append(std::string& text, const Bytes& bytes) {
  const auto view = std::as_bytes(std::span(bytes));
  text.append(reinterpret_cast<const char*>(view.data()), view.size());
}

}  // namespace

JobSecret JobSecret::generate(RandomSource& random) { return JobSecret(random.bytes<kBytes>()); }

JobSecret::~JobSecret() { ::explicit_bzero(bytes_.data(), bytes_.size()); }

SigningKey JobSecret::member_key() const {
  Sha256Digest seed = hkdf_sha256(bytes_, kMemberKeyPurpose);
  SigningKey key(seed);
  ::explicit_bzero(seed.data(), seed.size());
  return key;
}

Sha256Digest JobSecret::proof(ProofSide by, const ProofContext& context) const {
  // Every field but the last has a fixed length, so no two contexts have the same text.
  std::string text(1, by == ProofSide::dialer ? 'd' : 'l');
  append(text, context.dialer);
  append(text, context.listener);
  append(text, context.dialer_nonce);
  append(text, context.listener_nonce);
  append(text, context.run);
  Sha256Digest key = hkdf_sha256(bytes_, kProofPurpose);
  const Sha256Digest result = hmac_sha256(key, std::as_bytes(std::span(text)));
  ::explicit_bzero(key.data(), key.size());
  return result;
}

bool JobSecret::proves(ProofSide by, const ProofContext& context,
                       const Sha256Digest& claimed) const {
  return equal_in_constant_time(proof(by, context), claimed);
}

}  // namespace ptrain::net
