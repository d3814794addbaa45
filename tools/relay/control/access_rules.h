// Whom this relay serves: everyone, or the keys and runs that its operator allows; and the
// relays that it gossips with, which nobody but the operator names. Both are given as options or
// in files that are read again on SIGHUP. Values; parsing is pure.

#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/net/endpoint.h"
#include "libcommon/net/peer_id.h"
#include "libcommon/net/relay_word.h"

namespace ptrain::relay {

inline constexpr std::size_t kMaxAllowFileBytes = 4u << 20;
inline constexpr std::size_t kMaxNeighbourFileBytes = 64u << 10;
inline constexpr std::size_t kMaxNeighbours = 8;

struct AccessRules {
  std::optional<std::set<net::PublicKey>> peers;  // none: any
  std::optional<std::set<net::RunId>> runs;       // none: any
  std::vector<net::TicketRelay> neighbours{};     // each another key

  bool allows_peer(const net::PublicKey& key) const { return !peers || peers->contains(key); }
  bool allows_run(const VerifyKey& run_key) const {
    return !runs || runs->contains(net::RunId(run_key));
  }
  bool is_neighbour(const net::PublicKey& key) const;
};

// For the operator: what would let in that key, or that run.
std::string how_to_allow(const net::PublicKey& key);
std::string how_to_allow(const net::RunId& run);

// Both throw Error(usage) naming `source`.
void allow_peer(AccessRules& rules, std::string_view text, const std::string& source);
void allow_run(AccessRules& rules, std::string_view text, const std::string& source);

// Lines "peer KEY" and "run ID", where '*' in place of either allows all; empty lines and those
// that begin with '#' say nothing. A file allows no more than it says: one without a line "peer"
// serves nobody, and one that loses a line never serves more than before.
void parse_allow_file(AccessRules& rules, std::string_view text, const std::string& source);

// A relay's own word names no neighbour, so that all may share one file; the same word twice is
// one. Throws Error(usage) for what is no word, for one key under two, and for one too many.
void add_neighbour(AccessRules& rules, std::string_view word, const net::PublicKey& own,
                   const std::string& source);
// A word a line; empty lines and those that begin with '#' say nothing.
void parse_neighbour_file(AccessRules& rules, std::string_view text, const net::PublicKey& own,
                          const std::string& source);

struct AccessOptions {
  std::vector<std::string> peers;
  std::vector<std::string> runs;
  std::string file;  // empty: none
  std::vector<std::string> neighbours;
  std::string neighbour_file;  // empty: none
};

// Throws Error(usage) for a word that is none, Error(io) when a file cannot be read. `own` is
// the relay's key.
AccessRules read_access(const AccessOptions& options, const net::PublicKey& own);

}  // namespace ptrain::relay
