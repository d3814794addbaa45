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

// A day is meant to its end, and a minute from its beginning.
std::optional<net::WallTime> at(std::string_view text) {
  constexpr std::size_t kDayChars = std::string_view("2026-12-22").size();
  constexpr std::size_t kMinuteChars = std::string_view("2026-12-22T18:30Z").size();
  if (text.size() == kDayChars) return net::parse_wall_time(fmt::format("{}T23:59:59Z", text));
  if (text.size() == kMinuteChars && text.back() == 'Z') {
    return net::parse_wall_time(fmt::format("{}:00Z", text.substr(0, kMinuteChars - 1)));
  }
  return net::parse_wall_time(text);
}

}  // namespace

net::WallTime parse_expiry(std::string_view text, net::WallTime now) {
  auto time = at(text);
  if (!time) time = after(text, now);
  if (!time) {
    throw Error(ErrorKind::usage,
                fmt::format("expiry '{}' is neither a length of time nor a date", text),
                "write 30d, 12h, 90m, a day such as 2026-12-22, or a time in UTC such as "
                "2026-12-22T18:30Z");
  }
  if (*time <= now || *time > now + kLongestTicket) {
    throw Error(ErrorKind::usage,
                fmt::format("a ticket that expires at {}: it must end after now and within {} days",
                            net::to_string(*time), kLongestTicket / std::chrono::hours(24)));
  }
  return *time;
}

}  // namespace ptrain::relay
