#include "libcommon/ckpt/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "libcommon/base/error.h"
#include "libcommon/base/in_quotes.h"

namespace ptrain::ckpt {
namespace {

using nlohmann::json;

static_assert(std::endian::native == std::endian::little, "files hold the host's own byte order");

constexpr std::string_view kMetadataKey = "__metadata__";
constexpr std::uint64_t kLengthBytes = 8;

bool has_control_character(std::string_view name) {
  return std::ranges::any_of(name, [](char c) { return static_cast<unsigned char>(c) < 0x20; });
}

// Takes the parser's events; the only nesting it accepts is the format's. What a
// document tree would cost a hostile header of 100 MB is never allocated.
class HeaderHandler final : public nlohmann::json_sax<json> {
 public:
  explicit HeaderHandler(const std::string& where) : where_(where) {}

  std::vector<SafetensorsEntry> take_entries() { return std::move(entries_); }
  Metadata take_metadata() { return std::move(metadata_); }

  bool start_object(std::size_t) override {
    if (place_ == Place::document) {
      place_ = Place::names;
    } else if (place_ == Place::names && have_name_) {
      place_ = name_ == kMetadataKey ? Place::metadata : Place::fields;
      entry_ = {};
      entry_.info.name = name_;
      seen_fields_.clear();
    } else {
      fail("an object where none belongs");
    }
    return true;
  }

  bool end_object() override {
    if (place_ == Place::fields) finish_entry();
    place_ = place_ == Place::names ? Place::document : Place::names;
    have_name_ = false;
    return true;
  }

  bool key(string_t& text) override {
    if (place_ == Place::names) {
      begin_name(text);
    } else if (place_ == Place::fields) {
      field_ = text;
      if (field_ != "dtype" && field_ != "shape" && field_ != "data_offsets") {
        fail("unknown field " + in_quotes(text));
      }
      if (!seen_fields_.insert(field_).second) fail("the field \"" + field_ + "\" twice");
    } else {
      metadata_key_ = text;
      if (metadata_.contains(text)) fail("the metadata key " + in_quotes(text) + " twice");
      if (metadata_.size() == kMaxMetadataEntries) {
        fail(fmt::format("more than {} metadata entries", kMaxMetadataEntries));
      }
    }
    return true;
  }

  bool string(string_t& text) override {
    if (place_ == Place::metadata) {
      metadata_[metadata_key_] = text;
    } else if (place_ == Place::fields && field_ == "dtype") {
      const auto dtype = dtype_from_name(text);
      if (!dtype) fail("unknown dtype " + in_quotes(text));
      entry_.info.dtype = *dtype;
    } else {
      fail("a string where none belongs");
    }
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ != Place::fields || field_ == "dtype") fail("an array where none belongs");
    place_ = Place::numbers;
    return true;
  }

  bool end_array() override {
    place_ = Place::fields;
    return true;
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ != Place::numbers) fail("a number where none belongs");
    if (field_ == "shape") {
      if (entry_.info.shape.size() == kMaxRank) {
        fail(fmt::format("more than {} dimensions", kMaxRank));
      }
      if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        fail(fmt::format("dimension {} is too large", value));
      }
      entry_.info.shape.push_back(static_cast<std::int64_t>(value));
    } else {
      if (offsets_given_ == 2) fail("more than two data_offsets");
      (offsets_given_++ == 0 ? entry_.begin : entry_.end) = value;
    }
    return true;
  }

  bool number_integer(number_integer_t value) override {
    fail(fmt::format("the number {}, which is negative", value));
  }
  bool number_float(number_float_t, const string_t& text) override {
    fail("the number " + in_quotes(text) + ", which is no integer");
  }
  bool null() override { fail("null where none belongs"); }
  bool boolean(bool) override { fail("a boolean where none belongs"); }
  bool binary(binary_t&) override { return false; }  // not in JSON text

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    throw Error(ErrorKind::corrupt, fmt::format("{}: header is not JSON at byte {}: {}", where_,
                                                position, error.what()));
  }

 private:
  enum class Place { document, names, fields, numbers, metadata };

  void begin_name(const std::string& name) {
    name_ = name.substr(0, kMaxTensorNameBytes);
    have_name_ = true;
    offsets_given_ = 0;
    if (name.empty()) fail("a tensor without a name");
    if (name.size() > kMaxTensorNameBytes) {
      fail(fmt::format("a name of {} bytes, at most {} are allowed", name.size(),
                       kMaxTensorNameBytes));
    }
    if (has_control_character(name)) fail("a control character in its name");
    if (!names_.insert(name).second) fail("given twice");
    if (entries_.size() == kMaxTensors) fail(fmt::format("more than {} tensors", kMaxTensors));
    name_ = name;
  }

  void finish_entry() {
    for (const char* field : {"dtype", "shape", "data_offsets"}) {
      if (!seen_fields_.contains(field)) fail(fmt::format("no {}", field));
    }
    if (offsets_given_ != 2) fail("data_offsets needs two numbers");
    const auto bytes = byte_size(entry_.info);
    if (!bytes) fail("its shape does not fit in 64 bits");
    if (entry_.end < entry_.begin || entry_.end - entry_.begin != *bytes) {
      fail(fmt::format("data_offsets [{},{}] for {} bytes of {}", entry_.begin, entry_.end, *bytes,
                       dtype_name(entry_.info.dtype)));
    }
    entries_.push_back(std::move(entry_));
  }

  [[noreturn]] void fail(const std::string& what) const {
    const std::string tensor = have_name_ ? "tensor " + in_quotes(name_) + ": " : "";
    throw Error(ErrorKind::corrupt, fmt::format("{}: header: {}{}", where_, tensor, what));
  }

  const std::string& where_;
  Place place_ = Place::document;
  bool have_name_ = false;
  std::string name_;
  std::string field_;
  std::string metadata_key_;
  std::set<std::string> seen_fields_;
  std::set<std::string> names_;
  std::size_t offsets_given_ = 0;
  SafetensorsEntry entry_;
  std::vector<SafetensorsEntry> entries_;
  Metadata metadata_;
};

// The tensors must tile the data: sorted, each begins where the one before ends.
void place_in_file(std::vector<SafetensorsEntry>& entries, std::uint64_t data_begin,
                   std::uint64_t file_bytes, const std::string& where) {
  std::ranges::stable_sort(entries, [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::uint64_t expected = 0;
  for (SafetensorsEntry& entry : entries) {
    if (entry.begin != expected) {
      throw Error(ErrorKind::corrupt,
                  fmt::format("{}: tensor {} begins at data offset {}, {} {}", where,
                              in_quotes(entry.info.name), entry.begin,
                              entry.begin < expected ? "inside the one before, which ends at"
                                                     : "after a hole from",
                              expected));
    }
    expected = entry.end;
  }
  const std::uint64_t data_bytes = file_bytes - data_begin;
  if (expected != data_bytes) {
    throw Error(ErrorKind::corrupt,
                fmt::format("{}: the header describes {} bytes of data, the file holds {}", where,
                            expected, data_bytes));
  }
  for (SafetensorsEntry& entry : entries) {
    entry.begin += data_begin;
    entry.end += data_begin;
  }
}

void check_length(std::uint64_t header_bytes, std::uint64_t file_bytes, const std::string& where) {
  if (header_bytes > kMaxHeaderBytes) {
    throw Error(ErrorKind::corrupt, fmt::format("{}: header of {} bytes, at most {} are allowed",
                                                where, header_bytes, kMaxHeaderBytes));
  }
  if (file_bytes < kLengthBytes || header_bytes > file_bytes - kLengthBytes) {
    throw Error(ErrorKind::corrupt, fmt::format("{}: header of {} bytes in a file of {}", where,
                                                header_bytes, file_bytes));
  }
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view text, std::uint64_t file_bytes,
                                           const std::string& where) {
  check_length(text.size(), file_bytes, where);
  if (!text.starts_with('{')) {
    throw Error(ErrorKind::corrupt, where + ": header does not start with {");
  }
  // nlohmann takes a NUL for the end of the text and would not see what follows.
  if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) {
    throw Error(ErrorKind::corrupt, fmt::format("{}: header has a NUL at byte {}", where, nul));
  }
  HeaderHandler handler(where);
  json::sax_parse(text, &handler);

  SafetensorsHeader header;
  header.tensors = handler.take_entries();
  header.metadata = handler.take_metadata();
  header.data_begin = kLengthBytes + text.size();
  place_in_file(header.tensors, header.data_begin, file_bytes, where);
  return header;
}

SafetensorsHeader read_safetensors_header(const os::ReadableFile& file, const std::string& where) {
  const std::uint64_t file_bytes = file.size().value();
  if (file_bytes < kLengthBytes) {
    throw Error(ErrorKind::corrupt,
                fmt::format("{}: {} bytes, too short for a safetensors file", where, file_bytes));
  }
  std::uint64_t header_bytes = 0;
  file.read_at(0, std::as_writable_bytes(std::span(&header_bytes, 1)));
  check_length(header_bytes, file_bytes, where);  // before allocating
  std::string text(header_bytes, '\0');
  file.read_at(kLengthBytes, std::as_writable_bytes(std::span(text)));
  return parse_safetensors_header(text, file_bytes, where);
}

std::string safetensors_header(std::span<const TensorInfo> tensors, const Metadata& metadata) {
  std::string text(kLengthBytes, '\0');
  text += '{';
  if (!metadata.empty()) {
    text += fmt::format("\"{}\":{}", kMetadataKey, json(metadata).dump());
  }
  std::uint64_t offset = 0;
  for (const TensorInfo& tensor : tensors) {
    const std::uint64_t begin = offset;
    const auto bytes = byte_size(tensor);
    if (!bytes || __builtin_add_overflow(offset, *bytes, &offset)) {
      throw Error(ErrorKind::corrupt, "tensor \"" + tensor.name + "\": too large for a file");
    }
    if (text.back() != '{') text += ',';
    text += fmt::format("{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                        json(tensor.name).dump(), dtype_name(tensor.dtype),
                        fmt::join(tensor.shape, ","), begin, offset);
  }
  text += '}';
  text.resize((text.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
  const std::uint64_t header_bytes = text.size() - kLengthBytes;
  if (header_bytes > kMaxHeaderBytes) {
    throw Error(ErrorKind::corrupt,
                fmt::format("a header of {} bytes for {} tensors, at most {} are allowed",
                            header_bytes, tensors.size(), kMaxHeaderBytes));
  }
  std::memcpy(text.data(), &header_bytes, kLengthBytes);
  return text;
}

const Metadata& pytorch_metadata() {
  static const Metadata metadata{{"format", "pt"}};
  return metadata;
}

}  // namespace ptrain::ckpt
