// A job ticket: the one file that lets a person join a run (ptrain-ticket(5)).
//
// Text, mode 0600, one fact a line; the last line is "end", so that a file that was cut
// short is recognised. Values; parsing is pure.

#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/net/issuer.h"
#include "libcommon/net/job_secret.h"
#include "libcommon/net/peer_id.h"
#include "libcommon/net/relay_word.h"
#include "libcommon/net/wall_time.h"

namespace ptrain::net {

struct Ticket {
  std::string run;  // a name for people; the RunId is what counts
  std::vector<TicketRelay> relays;
  VerifyKey issuer{};  // names the run
  Grant grant;         // the issuer's, for the member key of the secret
  JobSecret secret;

  RunId run_id() const { return RunId(issuer); }
  bool expired(WallTime now) const { return grant.expired(now); }
};

inline constexpr int kTicketVersion = 2;
inline constexpr std::size_t kMaxRunNameChars = 64;
inline constexpr std::size_t kMaxTicketRelays = 8;
inline constexpr std::size_t kMaxTicketBytes = 16384;

// 1 to kMaxRunNameChars letters, digits, '.', '_' and '-'; not beginning with '.' or '-'.
bool is_run_name(std::string_view text);

std::string to_text(const Ticket& ticket);
// Throws Error(corrupt) naming `source` and the line. The issuer's signature is checked, the date
// is not.
Ticket parse_ticket(std::string_view text, const std::string& source);

// Throws Error(permission) when others may read the file, Error(corrupt), Error(io).
Ticket load_ticket(const std::filesystem::path& path);
// Error(permission) as well when its date is over.
Ticket load_valid_ticket(const std::filesystem::path& path, WallTime now);
// A new file of mode 0600; throws Error(usage) when there is one already.
void save_ticket(const Ticket& ticket, const std::filesystem::path& path);

}  // namespace ptrain::net
