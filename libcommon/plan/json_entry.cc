#include "libcommon/plan/json_entry.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/in_quotes.h"
#include "libcommon/plan/links_file.h"

namespace ptrain::plan {
namespace {

using nlohmann::json;

std::string shown(const json& value) {
  if (value.is_string()) return in_quotes(value.get_ref<const std::string&>());
  const std::string text = value.dump(-1, ' ', true, json::error_handler_t::replace);
  return text.size() > kMaxQuotedBytes ? text.substr(0, kMaxQuotedBytes) + "..." : text;
}

}  // namespace

std::string to_string(const Place& place) {
  if (place.list.empty()) return std::string(place.file);
  return fmt::format("{}: {}[{}]", place.file, place.list, place.index);
}

JsonEntry::JsonEntry(const json& value, Place place) : value_(value), place_(place) {
  if (!value_.is_object()) {
    throw Error(ErrorKind::corrupt,
                fmt::format("{}: {}, expected an object", to_string(place_), shown(value_)));
  }
}

void JsonEntry::fail(const char* key, std::string_view expected) const {
  throw Error(ErrorKind::corrupt, fmt::format("{}: {} is {}, expected {}", to_string(place_), key,
                                              has(key) ? shown(value_[key]) : "missing", expected));
}

const json& JsonEntry::field(const char* key) {
  const auto found = value_.find(key);
  if (found == value_.end()) {
    throw Error(ErrorKind::corrupt, fmt::format("{}: no key \"{}\"", to_string(place_), key));
  }
  if (std::find(read_.begin(), read_.end(), key) == read_.end()) read_.emplace_back(key);
  return *found;
}

std::string JsonEntry::name(const char* key) {
  const json& value = field(key);
  if (!value.is_string() || !is_host_name(value.get_ref<const std::string&>())) {
    fail(key, fmt::format("1 to {} letters, digits, '.', '_' and '-'", kMaxNameChars));
  }
  return value.get<std::string>();
}

std::string JsonEntry::text(const char* key) {
  const json& value = field(key);
  if (!value.is_string() || value.get_ref<const std::string&>().empty()) fail(key, "a text");
  return value.get<std::string>();
}

double JsonEntry::positive(const char* key) {
  const double number = not_negative(key);
  if (number <= 0) fail(key, "a number above 0");
  return number;
}

double JsonEntry::not_negative(const char* key) {
  const double number = finite(key);
  if (number != 0 && !(number >= kLeastMeasured && number <= kMostMeasured)) {
    fail(key, fmt::format("a number from {} to {}", kLeastMeasured, kMostMeasured));
  }
  return number;
}

double JsonEntry::positive_at_all(const char* key) {
  const double number = finite(key);
  if (number <= 0) fail(key, "a number above 0");
  return number;
}

double JsonEntry::finite(const char* key) {
  const json& value = field(key);
  const double number = value.is_number() ? value.get<double>() : -1;
  if (!(number >= 0) || !std::isfinite(number)) fail(key, "a number, 0 or more");
  return number;
}

std::uint64_t JsonEntry::whole(const char* key, std::uint64_t least, std::uint64_t most) {
  const json& value = field(key);
  // 2e9 is as whole as 2000000000; beyond 2^53 a double no longer says which number is meant.
  constexpr double kExact = 9007199254740992;
  std::optional<std::uint64_t> number;
  if (value.is_number_unsigned()) {
    number = value.get<std::uint64_t>();
  } else if (value.is_number_float()) {
    const auto written = value.get<double>();
    if (written >= 0 && written <= kExact && std::floor(written) == written) {
      number = static_cast<std::uint64_t>(written);
    }
  }
  if (!number || *number < least || *number > most) {
    fail(key, fmt::format("a whole number from {} to {}", least, most));
  }
  return *number;
}

const json& JsonEntry::list(const char* key) {
  static const json kNone = json::array();
  if (!has(key)) return kNone;
  const json& value = field(key);
  if (!value.is_array()) fail(key, "an array");
  return value;
}

const json& JsonEntry::any(const char* key) { return field(key); }

void JsonEntry::kind(const char* expected, std::uint64_t version) {
  const json& value = field("kind");
  if (!value.is_string() || value.get_ref<const std::string&>() != expected) {
    fail("kind", fmt::format("\"{}\"", expected));
  }
  if (field("version") != version) fail("version", std::to_string(version));
}

std::optional<double> JsonEntry::positive_if_any(const char* key) {
  if (!has(key)) return std::nullopt;
  return positive(key);
}

std::string JsonEntry::text_if_any(const char* key) { return has(key) ? text(key) : ""; }

void JsonEntry::finish() {
  if (value_.size() == read_.size()) return;
  for (const auto& [key, unused] : value_.items()) {
    if (key == "detail" || std::find(read_.begin(), read_.end(), key) != read_.end()) continue;
    throw Error(ErrorKind::corrupt,
                fmt::format("{}: unknown key {}", to_string(place_), in_quotes(key)));
  }
}

}  // namespace ptrain::plan
