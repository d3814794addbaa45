// Numbers within bounds, as an option's check. CLI11's own readers let too much pass: nan, for
// which no comparison holds, so that a program would wait for ever, or not at all; -1 for
// 18446744073709551615; 010 for 8; and what is too large for the largest number there is.

#pragma once

#include <charconv>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace ptrain::cli {

// From `least` to `most`, both included; "" where `text` is such a number, as CLI11 wants it.
inline std::string check_number(const std::string& text, double least, double most) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  const bool number = !text.empty() && *end == '\0' && std::isfinite(value);
  if (number && value >= least && value <= most) return "";
  return fmt::format("{}: expected a number from {:g} to {:g}", text, least, most);
}

// The same of whole numbers: digits alone, no zero before others.
inline std::string check_whole(const std::string& text, std::uint64_t least, std::uint64_t most) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, value);
  const bool number = !text.empty() && stopped == end && error == std::errc() &&
                      (text.size() == 1 || text.front() != '0');
  if (number && value >= least && value <= most) return "";
  return fmt::format("{}: expected a whole number from {} to {}", text, least, most);
}

inline CLI::Validator number_range(double least, double most) {
  return {[least, most](std::string& text) { return check_number(text, least, most); },
          fmt::format("FLOAT in [{:g} - {:g}]", least, most)};
}

inline CLI::Validator whole_range(std::integral auto least, std::integral auto most) {
  const auto from = static_cast<std::uint64_t>(least);
  const auto to = static_cast<std::uint64_t>(most);
  return {[from, to](std::string& text) { return check_whole(text, from, to); },
          fmt::format("UINT in [{} - {}]", from, to)};
}

// Of an option that takes any: a seed, a count.
inline CLI::Validator any_whole() {
  return whole_range(std::uint64_t{0}, std::numeric_limits<std::uint64_t>::max());
}

}  // namespace ptrain::cli
