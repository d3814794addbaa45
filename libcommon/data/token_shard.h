// Token shards: files of tokens in the two formats that GPT-2 and Llama speed runs use.
//
//   256 little-endian int32: magic, version, token count, zeros, but for 8 of them:
//     at 32 the SHA-256 of the SentencePiece model that made the tokens, or zeros
//   the tokens, 2 or 4 little-endian bytes each
//
// Others who read and write these formats leave the rest of the header alone, so zeros mean that
// the tokenizer is not known: bytes, or one of those.
//
// Magic 20240520 with version 1 has 16-bit tokens, 20240801 with version 7 has 32-bit
// ones. The count is an int32, so a shard holds at most 2^31 - 1 tokens.
//
// parse_shard is a pure function over bytes. TokenShard maps a file, validates it when it
// opens it, and reads it without copying it to memory; it is immutable, so any number of
// threads may read from one. A file that is not a valid shard throws Error(corrupt) with the
// path, the offset and the value.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string_view>

#include "libcommon/base/sha256.h"
#include "libcommon/os/mapped_file.h"

namespace ptrain::data {

enum class TokenWidth : std::uint32_t { bits16 = 2, bits32 = 4 };  // the value is bytes a token

inline constexpr std::size_t kShardHeaderBytes = 256 * sizeof(std::int32_t);
inline constexpr std::uint64_t kMaxShardTokens = 0x7fffffff;
inline constexpr std::uint32_t kMax16BitToken = 0xffff;

constexpr std::uint64_t bytes_per_token(TokenWidth width) {
  return static_cast<std::uint64_t>(width);
}

struct ShardHeader {
  TokenWidth width = TokenWidth::bits16;
  std::uint64_t token_count = 0;
  std::optional<Sha256Digest> tokenizer{};

  std::int32_t magic() const;
  std::int32_t version() const;
  // Header and tokens.
  std::uint64_t file_bytes() const {
    return kShardHeaderBytes + token_count * bytes_per_token(width);
  }
  bool operator==(const ShardHeader&) const = default;
};

// Reads the header at the front of `bytes`. `name` stands for the shard in errors.
ShardHeader parse_shard_header(std::span<const std::byte> bytes, std::string_view name);

// Requires a shard of `file_bytes` bytes to be exactly as long as its header promises.
void require_shard_length(const ShardHeader& header, std::uint64_t file_bytes,
                          std::string_view name);

// Both of the above, for a whole shard.
ShardHeader parse_shard(std::span<const std::byte> bytes, std::string_view name);

// The kShardHeaderBytes that stand at the front of such a shard.
std::array<std::byte, kShardHeaderBytes> serialise(const ShardHeader& header);

class TokenShard {
 public:
  explicit TokenShard(std::filesystem::path path);

  const std::filesystem::path& path() const { return path_; }
  const ShardHeader& header() const { return header_; }
  TokenWidth width() const { return header_.width; }
  std::uint64_t token_count() const { return header_.token_count; }
  std::span<const std::byte> file_bytes() const { return file_.bytes(); }

  // Token i, i < token_count().
  std::uint32_t token(std::uint64_t i) const;
  // Tokens [begin, begin + out.size()), which must lie within the shard. A token that an int32
  // cannot hold throws Error(corrupt).
  void copy(std::uint64_t begin, std::span<std::int32_t> out) const;
  // The largest token in [begin, end); 0 where the range is empty.
  std::uint32_t largest_token(std::uint64_t begin, std::uint64_t end) const;
  // Throws Error(corrupt) with the position and value of the first token in [begin, end) that is
  // not below vocab_size.
  void require_vocabulary(std::uint32_t vocab_size, std::uint64_t begin, std::uint64_t end) const;

 private:
  std::span<const std::byte> token_range(std::uint64_t begin, std::uint64_t end) const;

  std::filesystem::path path_;
  os::MappedFile file_;
  ShardHeader header_;
};

}  // namespace ptrain::data
