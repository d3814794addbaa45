// A date that people write and sign: seconds since 1970, in UTC. Values.

#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace ptrain::net {

using WallTime = std::chrono::sys_seconds;

WallTime wall_now();

// "2026-12-22T18:30:00Z"
std::string to_string(WallTime time);
std::optional<WallTime> parse_wall_time(std::string_view text);

}  // namespace ptrain::net
