// A span of time as people write it in a job: "90s", "5min", "2h". Pure.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ptrain::job {

// In seconds: a whole number, perhaps a blank, and s, min or h; nothing for any other text, and
// for more seconds than a number holds.
std::optional<std::uint64_t> parse_time_span(std::string_view text);

// In the largest of those units of which it is a whole number.
std::string time_span_text(std::uint64_t seconds);

}  // namespace ptrain::job
