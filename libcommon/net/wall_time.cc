#include "libcommon/net/wall_time.h"

#include <cstdio>
#include <ctime>

#include <fmt/chrono.h>
#include <fmt/format.h>

namespace ptrain::net {

WallTime wall_now() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

std::string to_string(WallTime time) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                     fmt::gmtime(static_cast<std::time_t>(time.time_since_epoch().count())));
}

std::optional<WallTime> parse_wall_time(std::string_view text) {
  std::tm time{};
  int consumed = 0;
  const std::string copy(text);
  const int fields =
      std::sscanf(copy.c_str(), "%4d-%2d-%2dT%2d:%2d:%2dZ%n", &time.tm_year, &time.tm_mon,
                  &time.tm_mday, &time.tm_hour, &time.tm_min, &time.tm_sec, &consumed);
  if (fields != 6 || consumed != static_cast<int>(copy.size())) return std::nullopt;
  time.tm_year -= 1900;
  time.tm_mon -= 1;
  const WallTime result{std::chrono::seconds(::timegm(&time))};
  // A date that does not exist comes out as another one.
  return to_string(result) == text ? std::optional(result) : std::nullopt;
}

}  // namespace ptrain::net
