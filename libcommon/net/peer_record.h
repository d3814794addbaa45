// What a member says of itself to a run's relays and, through them, to the other members:
// its key, its role, where it can be reached. Signed with the member key (net/job_secret.h), for
// which it shows the issuer's grant, so a relay can keep it and pass it on, and can neither make
// one up nor change it.
//
// Pure values.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "libcommon/base/signature.h"
#include "libcommon/net/endpoint.h"
#include "libcommon/net/issuer.h"
#include "libcommon/net/relay_word.h"
#include "libcommon/wire/envelope.h"

namespace ptrain::net {

inline constexpr std::size_t kMaxRoleChars = 32;
inline constexpr std::size_t kMaxCandidates = 16;
inline constexpr std::size_t kMaxCandidateChars = 128;
inline constexpr std::size_t kMaxRecordRelays = 8;
inline constexpr std::size_t kMaxRelayWordChars = 160;
inline constexpr std::size_t kMaxRecordBytes = 4352;

struct PeerRecord {
  VerifyKey run_key{};  // the issuer's
  PublicKey peer_key{};
  std::string role;
  // A larger one replaces a smaller one. Microseconds since 1970 at the time of signing serve:
  // a process that is started anew is then ahead of its predecessor.
  std::uint64_t sequence = 0;
  std::vector<Endpoint> candidates;  // without key; best first
  // Those of its ticket. Tokens for another relay's data port are used if its word is here.
  std::vector<TicketRelay> relays{};
  Grant grant{};
  bool operator==(const PeerRecord&) const = default;
};

// The bytes that were signed, kept as they came.
struct SignedRecord {
  std::vector<std::byte> record;
  Signature signature{};
  bool operator==(const SignedRecord&) const = default;
};

// 1 to kMaxRoleChars lower-case letters, digits and '-'.
bool is_role(std::string_view text);

// Precondition: a valid role, candidates and relays within the limits. `key` is the member key of
// record.grant.
SignedRecord sign(const PeerRecord& record, const SigningKey& key);

// The record, if it is within all limits, its signature is by the member key that it shows, and the
// issuer of the run that it names has granted that key. Whether the grant has expired is for the
// caller to ask.
std::variant<PeerRecord, wire::Malformed> open(const SignedRecord& signed_record);

}  // namespace ptrain::net
