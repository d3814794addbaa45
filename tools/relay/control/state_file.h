// The registry on disk: DIR/registry, replaced whole, so that a restart of the relay forgets
// nobody whose lease has not expired, and a kill at any time leaves the file before or after.
//
//   8 bytes "ptrelay1", SHA-256 of the rest, then schemas/relay_state.capnp
//
// Encoding and decoding are pure. Renewals are not written one by one; restoring allows for that.

#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "libcommon/base/log.h"
#include "libcommon/os/storage.h"
#include "libcommon/wire/envelope.h"
#include "tools/relay/control/moment.h"
#include "tools/relay/control/registry.h"

namespace ptrain::relay {

inline constexpr std::size_t kMaxStateBytes = 1u << 30;
inline constexpr const char* kStateName = "registry";
// Where one goes that cannot be read.
inline constexpr const char* kDamagedName = "registry.damaged";

struct SavedMember {
  net::SignedRecord record;
  std::string host;
  Duration lease{};  // what was left of it
  bool operator==(const SavedMember&) const = default;
};

// The number that was last granted for a claim, and to whom.
struct SavedClaim {
  VerifyKey run_key{};
  std::string name;
  std::uint64_t number = 0;
  net::Place holder{};
  std::string address{};
  Duration hold{};  // what was left of it
  bool operator==(const SavedClaim&) const = default;
};

struct SavedState {
  Moment written;
  std::uint64_t highest_version = 0;
  std::vector<SavedMember> members;
  std::vector<net::Revocation> revocations{};
  std::vector<SavedClaim> claims{};
  bool closed = false;  // the last thing that its process did
  std::uint64_t claim_floor = 0;
  bool operator==(const SavedState&) const = default;
};

SavedState saved_state(const Registry& registry, const Moment& moment, TimePoint now);
std::vector<std::byte> encode(const SavedState& state);
std::variant<SavedState, wire::Malformed> decode_state(std::span<const std::byte> bytes);

// How old a lease in the file may be: it is written at least so often while anyone renews.
inline Duration state_age_limit(Duration lease) { return lease / 3; }

// Puts back whose lease or claim has not expired; each has one lease left at most, whatever the
// clocks say. Records and revocations that are not signed by their run are left out.
void restore(const SavedState& state, const Moment& moment, TimePoint now, Registry& registry);

// What DIR holds, if anything. A file that cannot be read is moved to kDamagedName with a
// warning, and there is none then. Throws Error(io) when the disk does not work.
std::optional<SavedState> load_state(const std::filesystem::path& folder, os::Storage& storage,
                                     Log& log);

}  // namespace ptrain::relay
