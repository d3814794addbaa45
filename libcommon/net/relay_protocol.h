// What peers and a relay say to each other on its control port, as values
// (schemas/relay.capnp; ptrain-net(7) explains it). Pure data: relay_codec.h turns them
// into bytes and back.

#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "libcommon/net/issuer.h"
#include "libcommon/net/peer_record.h"

namespace ptrain::net {

// One registration of a run: a host may hold several roles.
struct Place {
  PublicKey peer_key{};
  std::string role;  // empty, with a key of zeros: before all
  auto operator<=>(const Place&) const = default;
};

// As whom a request is made. Whether the sender is that is the relay's to check.
struct Membership {
  VerifyKey run_key{};
  std::string role;
  auto operator<=>(const Membership&) const = default;
};

// A claim's name: 1 to 32 characters like a role's.
inline constexpr std::size_t kMaxClaimNameChars = kMaxRoleChars;

namespace answer {

// A token opens one connection through a relay's data port, to the one place it is for.
struct PathToken {
  Place to;
  std::uint8_t path = 0;
  std::string token;
  std::optional<PublicKey> relay{};  // none: the relay that says so
  bool operator==(const PathToken&) const = default;
};

}  // namespace answer

namespace request {

struct Register {
  SignedRecord record;
  bool operator==(const Register&) const = default;
};
struct Renew {
  Membership as;
  std::string note{};
  bool operator==(const Renew&) const = default;
};
struct Leave {
  Membership as;
  bool operator==(const Leave&) const = default;
};
struct LookUp {
  Membership as;
  std::string role{};  // empty: all
  Place after{};
  bool operator==(const LookUp&) const = default;
};
struct Watch {
  Membership as;
  bool on = true;
  bool operator==(const Watch&) const = default;
};
struct Introduce {
  Membership as;
  Place to;
  std::uint8_t paths = 1;
  bool operator==(const Introduce&) const = default;
};
enum class Subject : std::uint8_t { peers, runs, totals };
struct Survey {
  Subject subject = Subject::peers;
  std::uint64_t after = 0;
  bool operator==(const Survey&) const = default;
};
// A lease of the run's, with a number that only grows: who holds it at a majority of the ticket's
// relays is the only one that acts under that number.
struct Claim {
  Membership as;
  std::string name;
  // Larger than any that was granted, or the holder's own; 0: the next one, or the holder's own.
  std::uint64_t number = 0;
  std::uint32_t hold_ms = 0;  // 0: given back
  bool operator==(const Claim&) const = default;
};
// Whoever brings it: the issuer has signed it.
struct Revoke {
  Revocation revocation;
  bool operator==(const Revoke&) const = default;
};
// A neighbour relay's: who has come, changed or gone since.
struct Mirror {
  std::uint64_t since = 0;  // 0: who is there
  std::uint32_t hold_ms = 0;
  std::uint64_t listing = 0;  // the latest change when it began with 0; 0: that is complete
  bool operator==(const Mirror&) const = default;
};
// A neighbour relay's: for a member that is registered with the relay that gets this.
struct Forward {
  VerifyKey run_key{};
  Place to;
  std::optional<SignedRecord> record;  // of the other side: an introduction; none: fresh tokens
  std::vector<answer::PathToken> tokens;
  bool operator==(const Forward&) const = default;
};

}  // namespace request

struct Request {
  std::uint64_t id = 0;  // not 0
  std::variant<request::Register, request::Renew, request::Leave, request::LookUp, request::Watch,
               request::Introduce, request::Survey, request::Mirror, request::Forward,
               request::Claim, request::Revoke>
      body;
  bool operator==(const Request&) const = default;
};

// Appended to, never reordered: the numbers cross the wire.
enum class Refusal : std::uint16_t {
  malformed,     // not a request of ours
  busy,          // too many requests: try again
  full,          // a table or a quota has no room
  not_a_member,  // not registered as that, or the run is not served here, or no longer
  outdated,      // a newer registration holds that role of that key
  forged,        // a record that is not the sender's, or not signed by the run
  unknown_peer,  // nobody of that name in the run
  not_allowed,   // the operator's business
  expired,       // the ticket's date is over, and no registration holds
  revoked,       // the issuer has taken that peer out of the run
  version,       // another version of this protocol: the text names both
};
inline constexpr std::uint16_t kRefusals = 11;
std::string_view name_of(Refusal reason);

namespace answer {

struct Refused {
  Refusal reason = Refusal::malformed;
  std::string text;
  std::uint32_t retry_ms = 0;  // 0: trying again cannot help
  bool absent = false;         // the connection of who was asked for was seen to end
  bool operator==(const Refused&) const = default;
};
struct Granted {
  std::uint32_t lease_ms = 0;
  std::uint64_t registry_version = 0;
  std::string observed_host;
  std::vector<std::uint16_t> echo_ports{};  // two, or none
  bool operator==(const Granted&) const = default;
};
struct Left {
  bool operator==(const Left&) const = default;
};
struct Found {
  std::vector<SignedRecord> records;
  bool complete = true;
  std::uint64_t registry_version = 0;
  bool operator==(const Found&) const = default;
};
struct Introduced {
  SignedRecord record;  // of the other side
  bool asker = false;   // whether the receiver is the one who asked
  std::uint32_t start_ms = 0;
  std::vector<PathToken> tokens{};
  bool operator==(const Introduced&) const = default;
};
struct Appeared {
  SignedRecord record;
  std::uint64_t registry_version = 0;
  bool operator==(const Appeared&) const = default;
};
struct Departed {
  VerifyKey run_key{};
  Place who;
  std::uint64_t registry_version = 0;
  bool operator==(const Departed&) const = default;
};
struct Claimed {
  bool granted = false;
  std::uint64_t number = 0;   // the largest that was ever granted here
  Place holder;               // empty: nobody that is known
  std::uint32_t hold_ms = 0;  // for how long still nobody else gets it
  bool operator==(const Claimed&) const = default;
};
struct Revoked {
  Revocation revocation;
  bool operator==(const Revoked&) const = default;
};
struct Farewell {
  bool operator==(const Farewell&) const = default;
};
struct Surveyed {
  std::vector<std::string> lines;  // JSON objects
  std::uint64_t next = 0;          // 0: that was all
  bool operator==(const Surveyed&) const = default;
};
struct Gone {
  VerifyKey run_key{};
  Place who;
  bool operator==(const Gone&) const = default;
};
struct Mirrored {
  bool afresh = false;  // from the beginning: who is not named until it is complete is gone
  std::vector<SignedRecord> records;
  std::vector<Gone> gone;
  std::uint64_t up_to = 0;
  bool complete = true;
  std::uint64_t latest = 0;
  std::vector<Revocation> revocations{};
  bool operator==(const Mirrored&) const = default;
};
struct Forwarded {
  bool operator==(const Forwarded&) const = default;
};

}  // namespace answer

struct Answer {
  std::uint64_t id = 0;  // of the request; 0: not asked for
  std::variant<answer::Refused, answer::Granted, answer::Left, answer::Found, answer::Introduced,
               answer::Appeared, answer::Departed, answer::PathToken, answer::Farewell,
               answer::Surveyed, answer::Mirrored, answer::Forwarded, answer::Claimed,
               answer::Revoked>
      body;
  bool operator==(const Answer&) const = default;
};

}  // namespace ptrain::net
