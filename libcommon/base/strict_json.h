// JSON that others wrote, read without benefit of the doubt.
//
// nlohmann's parser keeps the last of two equal keys, ends at a NUL byte and
// nests without limit; parse_strict_json() refuses all three. JsonObject then
// takes the fields one by one, each with its type and bounds, and finish()
// refuses what nobody asked for. Everything throws Error(corrupt) that names the
// source, the field and the value.

#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "libcommon/base/sha256.h"

namespace ptrain {

inline constexpr std::size_t kMaxJsonDepth = 16;

// The text without what people's editors put before it: a byte order mark, and blanks. For files of
// others; ptrain's own have neither.
std::string_view without_preamble(std::string_view text);

// `where` names the source in errors. The text must be one JSON object.
nlohmann::json parse_strict_json(std::string_view text, const std::string& where);

// A view of an object that was parsed; the value it reads from must outlive it.
class JsonObject {
 public:
  JsonObject(const nlohmann::json& value, std::string where);

  bool has(const std::string& key) const { return value_.contains(key); }
  std::uint64_t integer(const std::string& key,
                        std::uint64_t max = std::numeric_limits<std::int64_t>::max());
  double number(const std::string& key);  // with a decimal point, as canonical JSON prints it
  bool boolean(const std::string& key);
  std::string text(const std::string& key);
  Sha256Digest sha256(const std::string& key);
  JsonObject object(const std::string& key);
  const nlohmann::json& array(const std::string& key);

  // Refuses keys that were not read.
  void finish() const;
  const std::string& where() const { return where_; }
  [[noreturn]] void fail(const std::string& key, const std::string& allowed) const;

 private:
  const nlohmann::json& field(const std::string& key);

  const nlohmann::json& value_;
  std::string where_;
  std::set<std::string> read_;
};

// A digest from a value of an array.
Sha256Digest sha256_value(const nlohmann::json& value, const std::string& where);

}  // namespace ptrain
