// What the maker of a run says of it, with a key that no ticket holds.
//
// The issuer key (Ed25519) is the maker's own; its public half names the run (net/peer_id.h,
// RunId). With it the maker signs two things, which relays and members check:
//
//   grant        until when holders of a ticket may join, known by the member key that follows
//                from the ticket's secret (net/job_secret.h). Nobody else can write another date.
//   revocation   that one peer may not join any more.
//
// Values, and the file that holds the secret half: text, mode 0600.

#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <filesystem>

#include "libcommon/base/random_source.h"
#include "libcommon/base/signature.h"
#include "libcommon/net/endpoint.h"
#include "libcommon/net/wall_time.h"

namespace ptrain::net {

struct Grant {
  VerifyKey member_key{};
  WallTime expires{};
  Signature signature{};

  bool expired(WallTime now) const { return now >= expires; }
  bool operator==(const Grant&) const = default;
};

struct Revocation {
  VerifyKey run_key{};  // the issuer's
  PublicKey peer_key{};
  Signature signature{};
  auto operator<=>(const Revocation&) const = default;
};

Grant make_grant(const SigningKey& issuer, const VerifyKey& member_key, WallTime expires);
Revocation make_revocation(const SigningKey& issuer, const PublicKey& peer);

// Whether that issuer has signed it.
bool is_signed(const Grant& grant, const VerifyKey& issuer);
bool is_signed(const Revocation& revocation);

// The secret half, in its file. Wiped when it goes.
class IssuerSecret {
 public:
  static constexpr std::size_t kBytes = 32;
  static IssuerSecret generate(RandomSource& random);
  explicit IssuerSecret(const std::array<std::byte, kBytes>& bytes) : bytes_(bytes) {}
  ~IssuerSecret();
  IssuerSecret(const IssuerSecret&) = default;
  IssuerSecret& operator=(const IssuerSecret&) = default;

  SigningKey key() const { return SigningKey(bytes_); }

  // Throws Error(permission) when others may read the file, Error(corrupt), Error(io).
  static IssuerSecret load(const std::filesystem::path& path);
  // A new file of mode 0600; throws Error(usage) when there is one already.
  void save(const std::filesystem::path& path) const;

 private:
  std::array<std::byte, kBytes> bytes_;
};

}  // namespace ptrain::net
