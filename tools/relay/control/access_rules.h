// Whom this relay serves: everyone, or the keys and runs that its operator allows, given as
// options or in a file that is read again on SIGHUP. Values; parsing is pure.

#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/net/endpoint.h"
#include "libcommon/net/peer_id.h"

namespace ptrain::relay {

inline constexpr std::size_t kMaxAllowFileBytes = 4u << 20;

struct AccessRules {
  std::optional<std::set<net::PublicKey>> peers;  // none: any
  std::optional<std::set<net::RunId>> runs;       // none: any

  bool allows_peer(const net::PublicKey& key) const { return !peers || peers->contains(key); }
  bool allows_run(const VerifyKey& run_key) const {
    return !runs || runs->contains(net::RunId(run_key));
  }
};

// Both throw Error(usage) naming `source`.
void allow_peer(AccessRules& rules, std::string_view text, const std::string& source);
void allow_run(AccessRules& rules, std::string_view text, const std::string& source);

// Lines "peer KEY" and "run ID", where '*' in place of either allows all; empty lines and those
// that begin with '#' say nothing. A file allows no more than it says: one without a line "peer"
// serves nobody, and one that loses a line never serves more than before.
void parse_allow_file(AccessRules& rules, std::string_view text, const std::string& source);

struct AccessOptions {
  std::vector<std::string> peers;
  std::vector<std::string> runs;
  std::string file;  // empty: none
};

// Throws Error(usage) for a word that is none, Error(io) when the file cannot be read.
AccessRules read_access(const AccessOptions& options);

}  // namespace ptrain::relay
