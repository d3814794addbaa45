// Writes a token shard (token_shard.h) as a stream, in bounded memory.
//
// The shard grows in a temporary file beside its place (os/atomic_file.h names it), because
// its header, which holds the count, is written last. It takes its name only in commit(),
// once its bytes are on disk. A writer that goes without commit() leaves nothing behind.
// One thread at a time. Throws Error(io) with the path when the disk refuses, and
// Error(usage) for a token or a count that the format cannot hold; after that only
// destruction makes sense.

#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "libcommon/data/token_shard.h"
#include "libcommon/os/file_descriptor.h"
#include "libcommon/os/storage.h"

namespace ptrain::data {

class TokenShardWriter {
 public:
  // `tokenizer`: of the SentencePiece model that makes the tokens.
  TokenShardWriter(std::filesystem::path path, TokenWidth width,
                   const std::optional<Sha256Digest>& tokenizer = std::nullopt);
  ~TokenShardWriter();
  TokenShardWriter(TokenShardWriter&& other) noexcept;
  TokenShardWriter& operator=(TokenShardWriter&&) = delete;

  void append(std::span<const std::uint32_t> tokens);
  // Completes the shard and flushes it to disk under its temporary name; append() must not
  // follow. A set of shards that are all sealed before one is committed appears together.
  void seal();
  // Gives the shard its name, sealing it first where that has not been done.
  void commit(os::Storage& storage);

  const std::filesystem::path& path() const { return path_; }
  const ShardHeader& header() const { return header_; }

 private:
  void require_16_bits(std::span<const std::uint32_t> tokens) const;
  void write(std::span<const std::byte> bytes);

  std::filesystem::path path_;
  std::filesystem::path temporary_;  // empty once committed
  os::FileDescriptor file_;          // open until seal()
  ShardHeader header_;
  std::vector<std::byte> block_;  // tokens in their width, on their way to the file
};

}  // namespace ptrain::data
