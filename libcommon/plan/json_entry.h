// One object of a file of plans, links or compute, read key by key: base/strict_json.h's JsonObject
// for numbers that people write as they like (5000000, 5e6) and for files of a million entries,
// whose place is put into words only when something is wrong with it. Pure; the value and the names
// it is made with must outlive it. Everything throws Error(corrupt) with the place, the key, the
// value and what is allowed.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace ptrain::plan {

// Seconds, and bytes a second. With others, such as 1e-320 or 1e308, no step has a length.
inline constexpr double kLeastMeasured = 1e-9;
inline constexpr double kMostMeasured = 1e15;

// "links.json: pairs[12]"; without a list, the file.
struct Place {
  std::string_view file;
  std::string_view list = {};
  std::size_t index = 0;
};

std::string to_string(const Place& place);

class JsonEntry {
 public:
  JsonEntry(const nlohmann::json& value, Place place);

  bool has(const char* key) const { return value_.contains(key); }

  std::string name(const char* key);  // links_file.h: is_host_name
  std::string text(const char* key);  // not empty
  // Of what was measured: kLeastMeasured at least where it is not 0, kMostMeasured at most.
  double positive(const char* key);
  double not_negative(const char* key);
  double positive_at_all(const char* key);  // any number above 0
  std::uint64_t whole(const char* key, std::uint64_t least, std::uint64_t most);
  const nlohmann::json& list(const char* key);  // an array; an empty one where it is absent
  const nlohmann::json& any(const char* key);
  void kind(const char* expected, std::uint64_t version);  // reads both keys

  std::optional<double> positive_if_any(const char* key);
  std::string text_if_any(const char* key);  // empty where it is absent

  // Refuses what nobody asked for, but a "detail", whatever it holds.
  void finish();

  [[noreturn]] void fail(const char* key, std::string_view expected) const;

 private:
  const nlohmann::json& field(const char* key);
  double finite(const char* key);  // 0 or more

  const nlohmann::json& value_;
  Place place_;
  std::vector<std::string_view> read_;  // keys
};

}  // namespace ptrain::plan
