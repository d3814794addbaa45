#include "libcommon/job/value_rules.h"

#include <limits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace ptrain::job {
namespace {

using nlohmann::json;

std::string type_of(const json& value) {
  switch (value.type()) {
    case json::value_t::null:
      return "a date or time";
    case json::value_t::object:
      return "a table";
    case json::value_t::array:
      return "an array";
    case json::value_t::string:
      return "a string";
    case json::value_t::boolean:
      return "a boolean";
    case json::value_t::number_float:
      return "a number with a fraction";
    default:
      return "an integer";
  }
}

std::string shortened(std::string text) {
  constexpr std::size_t kLongest = 80;
  if (text.size() > kLongest) text = text.substr(0, kLongest - 3) + "...";
  return text;
}

std::string ascii_dump(const json& value) {
  return value.dump(-1, ' ', /*ensure_ascii=*/true, json::error_handler_t::replace);
}

}  // namespace

std::string expected(std::string_view what, const json& value) {
  return fmt::format("expected {}, not {}", what, type_of(value));
}

std::string text_of(const IntegerRange& range) {
  return fmt::format("{} to {}", range.min, range.max);
}

std::string text_of(const NumberRange& range) {
  if (range.at_min == Bound::included && range.at_max == Bound::included) {
    return fmt::format("{} to {}", range.min, range.max);
  }
  return fmt::format("{} {}, {} {}", range.at_min == Bound::included ? "at least" : "above",
                     range.min, range.at_max == Bound::included ? "at most" : "below", range.max);
}

Problem check_integer(const IntegerRange& range, const json& value) {
  if (!value.is_number_integer()) return expected("an integer, " + text_of(range), value);
  const bool beyond_int64 =
      value.is_number_unsigned() &&
      value.get<std::uint64_t>() > std::uint64_t{std::numeric_limits<std::int64_t>::max()};
  if (beyond_int64 || value.get<std::int64_t>() < range.min ||
      value.get<std::int64_t>() > range.max) {
    return "must be " + text_of(range);
  }
  return std::nullopt;
}

Problem check_number(const NumberRange& range, const json& value) {
  if (!value.is_number()) return expected("a number, " + text_of(range), value);
  const auto x = value.get<double>();
  const bool above = range.at_min == Bound::included ? x >= range.min : x > range.min;
  const bool below = range.at_max == Bound::included ? x <= range.max : x < range.max;
  // Written so that NaN, which no comparison holds for, is refused.
  if (above && below) return std::nullopt;
  return "must be " + text_of(range);
}

Problem check_text(const json& value) {
  if (!value.is_string()) return expected("a string", value);
  const auto& text = value.get_ref<const std::string&>();
  if (text.empty()) return "must not be empty";
  if (text.size() > kMaxTextBytes) {
    return fmt::format("must be at most {} bytes long", kMaxTextBytes);
  }
  if (text.find('\0') != std::string::npos) return "must not hold a null character";
  return std::nullopt;
}

std::string shown(const json& value) {
  // JSON itself has no nan and inf.
  return shortened(value.is_number_float() ? fmt::format("{}", value.get<double>())
                                           : ascii_dump(value));
}

std::string shown_text(std::string_view text) {
  const std::string quoted = ascii_dump(json(text));
  std::string plain;
  for (std::size_t i = 1; i + 1 < quoted.size(); ++i) {
    const bool escapes_next = quoted[i] == '\\' && (quoted[i + 1] == '"' || quoted[i + 1] == '\\');
    if (escapes_next) ++i;
    plain.push_back(quoted[i]);
  }
  return shortened(std::move(plain));
}

}  // namespace ptrain::job
