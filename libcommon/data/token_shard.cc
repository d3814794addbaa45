#include "libcommon/data/token_shard.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "libcommon/base/error.h"

namespace ptrain::data {
namespace {

// Integers are read where they lie.
static_assert(std::endian::native == std::endian::little);

struct Format {
  TokenWidth width;
  std::int32_t magic;
  std::int32_t version;
};
constexpr Format kFormats[] = {
    {TokenWidth::bits16, 20240520, 1},
    {TokenWidth::bits32, 20240801, 7},
};
constexpr const char* kHint = "encode the text again with ptrain-data encode";

// Where the header's fields lie.
constexpr std::size_t kMagicAt = 0;
constexpr std::size_t kVersionAt = 4;
constexpr std::size_t kCountAt = 8;
constexpr std::size_t kTokenizerAt = 32;

const Format& format_of(TokenWidth width) { return kFormats[width == TokenWidth::bits16 ? 0 : 1]; }

template <class T>
T load(std::span<const std::byte> bytes, std::uint64_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

template <class T>
std::uint32_t largest(std::span<const std::byte> tokens) {
  // Tokens follow a header of 1024 bytes in a page-aligned mapping, so they are aligned.
  const std::span values(reinterpret_cast<const T*>(tokens.data()), tokens.size() / sizeof(T));
  T result = 0;
  for (const T value : values) result = std::max(result, value);
  return result;
}

template <class T>
void widen(std::span<const std::byte> tokens, std::span<std::int32_t> out) {
  const T* values = reinterpret_cast<const T*>(tokens.data());
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::int32_t>(values[i]);
}

}  // namespace

std::int32_t ShardHeader::magic() const { return format_of(width).magic; }
std::int32_t ShardHeader::version() const { return format_of(width).version; }

ShardHeader parse_shard_header(std::span<const std::byte> bytes, std::string_view name) {
  if (bytes.size() < kShardHeaderBytes) {
    throw Error(ErrorKind::corrupt,
                fmt::format("{}: {} bytes, but the header of a token shard alone has {}", name,
                            bytes.size(), kShardHeaderBytes),
                kHint);
  }
  const auto magic = load<std::int32_t>(bytes, kMagicAt);
  const auto version = load<std::int32_t>(bytes, kVersionAt);
  const auto count = load<std::int32_t>(bytes, kCountAt);
  const auto* format = std::find_if(std::begin(kFormats), std::end(kFormats),
                                    [&](const Format& f) { return f.magic == magic; });
  if (format == std::end(kFormats)) {
    throw Error(ErrorKind::corrupt,
                fmt::format("{}: magic {} at offset {}, expected {} or {}", name, magic, kMagicAt,
                            kFormats[0].magic, kFormats[1].magic),
                kHint);
  }
  if (version != format->version) {
    throw Error(ErrorKind::corrupt,
                fmt::format("{}: version {} at offset {}, expected {} for magic {}", name, version,
                            kVersionAt, format->version, magic),
                kHint);
  }
  if (count < 0) {
    throw Error(ErrorKind::corrupt,
                fmt::format("{}: token count {} at offset {} is negative", name, count, kCountAt),
                kHint);
  }
  const auto tokenizer = load<Sha256Digest>(bytes, kTokenizerAt);
  return {.width = format->width,
          .token_count = static_cast<std::uint64_t>(count),
          .tokenizer = tokenizer == Sha256Digest{} ? std::nullopt : std::optional(tokenizer)};
}

void require_shard_length(const ShardHeader& header, std::uint64_t file_bytes,
                          std::string_view name) {
  if (file_bytes == header.file_bytes()) return;
  throw Error(ErrorKind::corrupt,
              fmt::format("{}: {} bytes, but its {} tokens (offset {}) of {} bytes need {}", name,
                          file_bytes, header.token_count, kCountAt, bytes_per_token(header.width),
                          header.file_bytes()),
              file_bytes < header.file_bytes() ? "the file was cut short: copy it again, or encode "
                                                 "the text again with ptrain-data encode"
                                               : kHint);
}

ShardHeader parse_shard(std::span<const std::byte> bytes, std::string_view name) {
  const ShardHeader header = parse_shard_header(bytes, name);
  require_shard_length(header, bytes.size(), name);
  return header;
}

std::array<std::byte, kShardHeaderBytes> serialise(const ShardHeader& header) {
  std::array<std::byte, kShardHeaderBytes> bytes{};
  const auto store = [&](std::size_t offset, std::int32_t value) {
    std::memcpy(bytes.data() + offset, &value, sizeof value);
  };
  store(kMagicAt, header.magic());
  store(kVersionAt, header.version());
  store(kCountAt, static_cast<std::int32_t>(header.token_count));
  if (header.tokenizer) {
    std::memcpy(bytes.data() + kTokenizerAt, header.tokenizer->data(), header.tokenizer->size());
  }
  return bytes;
}

TokenShard::TokenShard(std::filesystem::path path)
    : path_(std::move(path)), file_(path_), header_(parse_shard(file_.bytes(), path_.string())) {}

std::uint32_t TokenShard::token(std::uint64_t i) const {
  const std::span bytes = token_range(i, i + 1);
  return width() == TokenWidth::bits16 ? load<std::uint16_t>(bytes, 0)
                                       : load<std::uint32_t>(bytes, 0);
}

void TokenShard::copy(std::uint64_t begin, std::span<std::int32_t> out) const {
  const std::uint64_t end = begin + out.size();
  const std::span bytes = token_range(begin, end);
  if (width() == TokenWidth::bits16) {
    widen<std::uint16_t>(bytes, out);
  } else {
    require_vocabulary(std::uint32_t{1} << 31, begin, end);
    widen<std::uint32_t>(bytes, out);
  }
}

std::uint32_t TokenShard::largest_token(std::uint64_t begin, std::uint64_t end) const {
  const std::span bytes = token_range(begin, end);
  return width() == TokenWidth::bits16 ? largest<std::uint16_t>(bytes)
                                       : largest<std::uint32_t>(bytes);
}

void TokenShard::require_vocabulary(std::uint32_t vocab_size, std::uint64_t begin,
                                    std::uint64_t end) const {
  if (begin == end || largest_token(begin, end) < vocab_size) return;
  std::uint64_t i = begin;
  while (token(i) < vocab_size) ++i;
  throw Error(
      ErrorKind::corrupt,
      fmt::format("{}: token {} at index {} (offset {}) is not below the vocabulary size {}",
                  path_.string(), token(i), i, kShardHeaderBytes + i * bytes_per_token(width()),
                  vocab_size),
      "use the tokenizer that the vocabulary size belongs to, or a larger vocabulary");
}

std::span<const std::byte> TokenShard::token_range(std::uint64_t begin, std::uint64_t end) const {
  if (begin > end || end > token_count()) {
    throw Error(ErrorKind::internal, fmt::format("{}: tokens {} to {} of {} were asked for",
                                                 path_.string(), begin, end, token_count()));
  }
  const std::uint64_t width_bytes = bytes_per_token(width());
  return file_.bytes().subspan(kShardHeaderBytes + begin * width_bytes,
                               (end - begin) * width_bytes);
}

}  // namespace ptrain::data
