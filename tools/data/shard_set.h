// The token shards that one run of encode makes: train_000000.bin, train_000001.bin, ... and
// val_000000.bin, ... in one directory.
//
// They take their names together, in commit(); until then, and when the object goes without
// it, the directory holds none of them. One thread at a time. Throws Error(io) and
// Error(usage) as token_shard_writer.h says.

#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "libcommon/data/token_shard_writer.h"
#include "libcommon/os/storage.h"

namespace ptrain::data {

enum class Split { train, val };
inline constexpr std::array kSplits{Split::train, Split::val};
const char* name_of(Split split);

// What becomes of a data set that is in the directory already.
enum class ExistingShards { refuse, replace };

struct ShardSetOptions {
  std::filesystem::path directory;  // made where it is missing
  TokenWidth width = TokenWidth::bits16;
  std::optional<Sha256Digest> tokenizer{};  // of a SentencePiece model
  std::uint64_t shard_tokens = 0;           // the most that a shard gets; 1 to kMaxShardTokens
  ExistingShards existing = ExistingShards::refuse;
  Log* log = nullptr;  // of os::PosixStorage
};

struct ShardRecord {
  std::filesystem::path path;
  Split split = Split::train;
  ShardHeader header;
};

class ShardSet {
 public:
  // Throws Error(usage) where the directory holds shards that must not be replaced.
  explicit ShardSet(ShardSetOptions options);

  void append(Split split, std::span<const std::uint32_t> tokens);
  // Seals and names all shards, removes those of an older data set, and lists the new ones.
  std::vector<ShardRecord> commit();

 private:
  struct Series {
    std::vector<TokenShardWriter> shards;  // all but the last are sealed
  };
  Series& series(Split split) { return series_[static_cast<std::size_t>(split)]; }
  TokenShardWriter& writer_with_room(Split split);

  ShardSetOptions options_;
  os::PosixStorage storage_;
  std::vector<std::filesystem::path> older_;
  std::array<Series, kSplits.size()> series_;
};

}  // namespace ptrain::data
