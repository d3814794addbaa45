// What a single value of a job file may be. The checks say what is wrong, as text
// that follows "KEY = VALUE: ", or nothing. Pure.
//
// A value is held as JSON whatever it was written in; a null stands for what a job
// file cannot hold (TOML's dates and times).

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace ptrain::job {

using Problem = std::optional<std::string>;

inline constexpr std::size_t kMaxTextBytes = 4096;

struct IntegerRange {
  std::int64_t min = 0;
  std::int64_t max = 0;
};

enum class Bound { included, excluded };

struct NumberRange {
  double min = 0;
  double max = 0;
  Bound at_min = Bound::included;
  Bound at_max = Bound::included;
};

// "1 to 1024", "above 0, at most 1".
std::string text_of(const IntegerRange& range);
std::string text_of(const NumberRange& range);

Problem check_integer(const IntegerRange& range, const nlohmann::json& value);
// An integer will do too; nan and inf never do.
Problem check_number(const NumberRange& range, const nlohmann::json& value);
// A string that is not empty, not longer than kMaxTextBytes and can be a path.
Problem check_text(const nlohmann::json& value);

// "expected WHAT, not a boolean", after the type of `value`.
std::string expected(std::string_view what, const nlohmann::json& value);

// As errors show a value or a text: on one line, at most 80 characters of ASCII, none of which
// a terminal obeys. A value is JSON; a text stands without quotes around it.
std::string shown(const nlohmann::json& value);
std::string shown_text(std::string_view text);

}  // namespace ptrain::job
