// The secret of a run: 32 random bytes that every holder of its ticket knows and nobody
// else does, relays included. Two keys are derived from it, each for one purpose:
//
//   member key  Ed25519. Members sign their registrations with it; relays and other members
//               verify with its public half, which the run's issuer has signed (net/issuer.h).
//               A relay holds the public half only: it can neither register anyone nor change
//               what a member said of itself, and neither can who steals the relay's state.
//   proof key   HMAC-SHA256. Two peers prove to each other, inside their CURVE session,
//               that they know the secret. Never shown to a relay.
//
// Whoever holds the ticket can enrol any key in the run: members trust each other that far.
// They cannot pose as another member, because a relay compares the key in a registration with
// the CURVE key of the connection, and members connect to each other by those keys.

#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "libcommon/base/random_source.h"
#include "libcommon/base/sha256.h"
#include "libcommon/base/signature.h"
#include "libcommon/net/endpoint.h"

namespace ptrain::net {

// Two peers on one connection, in the order of who dials and who is dialled.
struct ProofContext {
  std::string_view run;  // its name
  PublicKey dialer{};
  PublicKey listener{};
  std::array<std::byte, 32> dialer_nonce{};  // fresh for every connection
  std::array<std::byte, 32> listener_nonce{};
};

enum class ProofSide { dialer, listener };

// Wiped when it goes. Copyable, because a ticket is a value.
class JobSecret {
 public:
  static constexpr std::size_t kBytes = 32;
  static JobSecret generate(RandomSource& random);
  explicit JobSecret(const std::array<std::byte, kBytes>& bytes) : bytes_(bytes) {}
  ~JobSecret();
  JobSecret(const JobSecret&) = default;
  JobSecret& operator=(const JobSecret&) = default;

  const std::array<std::byte, kBytes>& bytes() const { return bytes_; }

  SigningKey member_key() const;
  // What the named side sends; the other side compares it in constant time. The two sides'
  // proofs differ, so neither can be sent back to its maker.
  Sha256Digest proof(ProofSide by, const ProofContext& context) const;
  bool proves(ProofSide by, const ProofContext& context, const Sha256Digest& proof) const;

 private:
  std::array<std::byte, kBytes> bytes_;
};

}  // namespace ptrain::net
