#include "libcommon/base/strict_json.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/in_quotes.h"

namespace ptrain {
namespace {

using nlohmann::json;

// Builds the value from the parser's events, with the checks that the parser lacks.
class StrictBuilder final : public nlohmann::json_sax<json> {
 public:
  explicit StrictBuilder(const std::string& where) : where_(where) {}

  json take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return false; }  // not in JSON text
  bool start_object(std::size_t) override { return open(json::object()); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(json::array()); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    if (open_.back()->contains(name)) {
      throw Error(ErrorKind::corrupt,
                  fmt::format("{}: the key {} is given twice", where_, in_quotes(name)));
    }
    key_ = std::move(name);
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    throw Error(ErrorKind::corrupt, fmt::format("{}: not JSON at byte {}: {}", where_, position,
                                                in_quotes(error.what())));
  }

 private:
  json* attach(json&& value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    return &(parent[key_] = std::move(value));
  }

  template <class Value>
  bool add(Value&& value) {
    attach(json(std::forward<Value>(value)));
    return true;
  }

  bool open(json&& value) {
    if (open_.size() == kMaxJsonDepth) {
      throw Error(ErrorKind::corrupt,
                  fmt::format("{}: nested deeper than {} levels", where_, kMaxJsonDepth));
    }
    open_.push_back(attach(std::move(value)));
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  const std::string& where_;
  json root_;
  std::vector<json*> open_;  // the innermost last; none moves while it is open
  std::string key_;
};

std::string printed(const json& value) {
  if (value.is_string()) return in_quotes(value.get_ref<const std::string&>());
  const std::string text = value.dump(-1, ' ', true, json::error_handler_t::replace);
  return text.size() > kMaxQuotedBytes ? text.substr(0, kMaxQuotedBytes) + "..." : text;
}

}  // namespace

std::string_view without_preamble(std::string_view text) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  return text;
}

json parse_strict_json(std::string_view text, const std::string& where) {
  if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) {
    throw Error(ErrorKind::corrupt, fmt::format("{}: a NUL byte at offset {}", where, nul));
  }
  if (!text.starts_with('{')) {
    throw Error(ErrorKind::corrupt, where + ": does not start with {");
  }
  StrictBuilder builder(where);
  json::sax_parse(text, &builder);
  return builder.take();
}

JsonObject::JsonObject(const json& value, std::string where)
    : value_(value), where_(std::move(where)) {
  if (!value_.is_object()) {
    throw Error(ErrorKind::corrupt,
                fmt::format("{}: {}, expected an object", where_, printed(value_)));
  }
}

void JsonObject::fail(const std::string& key, const std::string& allowed) const {
  throw Error(ErrorKind::corrupt,
              fmt::format("{}: {} is {}, expected {}", where_, key,
                          has(key) ? printed(value_[key]) : "missing", allowed));
}

const json& JsonObject::field(const std::string& key) {
  const auto found = value_.find(key);
  if (found == value_.end()) throw Error(ErrorKind::corrupt, where_ + ": no key \"" + key + "\"");
  read_.insert(key);
  return *found;
}

std::uint64_t JsonObject::integer(const std::string& key, std::uint64_t max) {
  const json& value = field(key);
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > max) {
    fail(key, fmt::format("an integer from 0 to {}", max));
  }
  return value.get<std::uint64_t>();
}

double JsonObject::number(const std::string& key) {
  const json& value = field(key);
  if (!value.is_number_float()) fail(key, "a number with a decimal point or exponent");
  return value.get<double>();
}

bool JsonObject::boolean(const std::string& key) {
  const json& value = field(key);
  if (!value.is_boolean()) fail(key, "true or false");
  return value.get<bool>();
}

std::string JsonObject::text(const std::string& key) {
  const json& value = field(key);
  if (!value.is_string()) fail(key, "a string");
  return value.get<std::string>();
}

Sha256Digest JsonObject::sha256(const std::string& key) {
  return sha256_value(field(key), where_ + "." + key);
}

JsonObject JsonObject::object(const std::string& key) {
  return JsonObject(field(key), where_ + "." + key);
}

const json& JsonObject::array(const std::string& key) {
  const json& value = field(key);
  if (!value.is_array()) fail(key, "an array");
  return value;
}

void JsonObject::finish() const {
  for (const auto& [key, unused] : value_.items()) {
    if (!read_.contains(key)) {
      throw Error(ErrorKind::corrupt, fmt::format("{}: unknown key {}", where_, in_quotes(key)));
    }
  }
}

Sha256Digest sha256_value(const json& value, const std::string& where) {
  const auto digest =
      value.is_string() ? sha256_from_hex(value.get_ref<const std::string&>()) : std::nullopt;
  if (!digest) {
    throw Error(ErrorKind::corrupt, fmt::format("{}: {}, expected 64 lower-case hexadecimal digits",
                                                where, printed(value)));
  }
  return *digest;
}

}  // namespace ptrain
