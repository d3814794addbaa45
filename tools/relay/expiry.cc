#include "tools/relay/expiry.h"

#include <charconv>
#include <cstdint>
#include <optional>

#include <fmt/format.h>

#include "libcommon/base/error.h"

namespace ptrain::relay {
namespace {

std::optional<std::chrono::seconds> unit_of(char unit) {
  switch (unit) {
    case 'd':
      return std::chrono::hours(24);
    case 'h':
      return std::chrono::hours(1);
    case 'm':
      return std::chrono::minutes(1);
    case 's':
      return std::chrono::seconds(1);
    default:
      return std::nullopt;
  }
}

std::optional<net::WallTime> after(std::string_view text, net::WallTime now) {
  if (text.empty()) return std::nullopt;
  const auto unit = unit_of(text.back());
  text.remove_suffix(1);
  std::uint32_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (!unit || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return now + count * *unit;
}

}  // namespace

net::WallTime parse_expiry(std::string_view text, net::WallTime now) {
  auto time = net::parse_wall_time(text);
  if (!time) time = after(text, now);
  if (!time) {
    throw Error(ErrorKind::usage, fmt::format("expiry '{}' is no length of time", text),
                "write 30d, 12h, 90m, or a time such as 2026-12-22T18:30:00Z");
  }
  if (*time <= now || *time > now + kLongestTicket) {
    throw Error(ErrorKind::usage,
                fmt::format("a ticket that expires at {}: it must end after now and within {} days",
                            net::to_string(*time), kLongestTicket / std::chrono::hours(24)));
  }
  return *time;
}

}  // namespace ptrain::relay
