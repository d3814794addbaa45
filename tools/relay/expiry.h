// When a ticket ends, as a person writes it: "30d", "12h", "90m", a day that it holds through,
// "2026-12-22", or the time itself, "2026-12-22T18:30Z" or "2026-12-22T18:30:00Z", all in UTC.
// Pure.

#pragma once

#include <string_view>

#include "libcommon/net/ticket.h"

namespace ptrain::relay {

inline constexpr std::chrono::seconds kLongestTicket = std::chrono::hours(24 * 3650);

// Throws Error(usage) for another text, and for a time that is past or beyond kLongestTicket.
net::WallTime parse_expiry(std::string_view text, net::WallTime now);

}  // namespace ptrain::relay
