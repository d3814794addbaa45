// A job ticket: the one file that lets a person join a run (ptrain-ticket(5)).
//
// Text, mode 0600, one fact a line; the last line is "end", so that a file that was cut
// short is recognised. Values; parsing is pure.

#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/net/job_secret.h"
#include "libcommon/net/peer_id.h"
#include "libcommon/net/relay_word.h"

namespace ptrain::net {

using WallTime = std::chrono::sys_seconds;

struct Ticket {
  std::string run;  // a name for people; the RunId is what counts
  std::vector<TicketRelay> relays;
  WallTime expires{};
  JobSecret secret;

  bool expired(WallTime now) const { return now >= expires; }
};

inline constexpr int kTicketVersion = 1;
inline constexpr std::size_t kMaxRunNameChars = 64;
inline constexpr std::size_t kMaxTicketRelays = 8;
inline constexpr std::size_t kMaxTicketBytes = 16384;

// 1 to kMaxRunNameChars letters, digits, '.', '_' and '-'; not beginning with '.' or '-'.
bool is_run_name(std::string_view text);

std::string to_text(const Ticket& ticket);
// Throws Error(corrupt) naming `source` and the line.
Ticket parse_ticket(std::string_view text, const std::string& source);

// Throws Error(permission) when others may read the file, Error(corrupt), Error(io).
Ticket load_ticket(const std::filesystem::path& path);
// A new file of mode 0600; throws Error(usage) when there is one already.
void save_ticket(const Ticket& ticket, const std::filesystem::path& path);

// "2026-12-22T18:30:00Z"
std::string to_string(WallTime time);
std::optional<WallTime> parse_wall_time(std::string_view text);

}  // namespace ptrain::net
