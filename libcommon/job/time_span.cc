#include "libcommon/job/time_span.h"

#include <array>
#include <charconv>
#include <limits>

#include <fmt/format.h>

namespace ptrain::job {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t seconds;
};
constexpr std::array kUnits{Unit{"h", 3600}, Unit{"min", 60}, Unit{"s", 1}};

}  // namespace

std::optional<std::uint64_t> parse_time_span(std::string_view text) {
  std::uint64_t count = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, failure] = std::from_chars(text.data(), end, count);
  if (failure != std::errc()) return std::nullopt;
  std::string_view name(rest, static_cast<std::size_t>(end - rest));
  if (name.starts_with(' ')) name.remove_prefix(1);
  for (const Unit& unit : kUnits) {
    if (name != unit.name) continue;
    if (count > std::numeric_limits<std::uint64_t>::max() / unit.seconds) return std::nullopt;
    return count * unit.seconds;
  }
  return std::nullopt;
}

std::string time_span_text(std::uint64_t seconds) {
  for (const Unit& unit : kUnits) {
    if (seconds % unit.seconds == 0) return fmt::format("{}{}", seconds / unit.seconds, unit.name);
  }
  return fmt::format("{}s", seconds);
}

}  // namespace ptrain::job
