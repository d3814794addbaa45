#include "tools/data/shard_set.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/os/atomic_file.h"
#include "libcommon/os/storage.h"

namespace ptrain::data {
namespace {

// Names that sort in the order of the shards, as the globs of a job file need it.
std::string file_name(Split split, std::size_t number) {
  return fmt::format("{}_{:06}.bin", name_of(split), number);
}

bool is_shard_name(const std::string& name) {
  return name.ends_with(".bin") && std::any_of(kSplits.begin(), kSplits.end(), [&](Split split) {
           return name.starts_with(fmt::format("{}_", name_of(split)));
         });
}

std::vector<std::filesystem::path> shards_in(const std::filesystem::path& directory) {
  std::vector<std::filesystem::path> found;
  for (const std::string& name : os::PosixStorage().list(directory)) {
    if (is_shard_name(name)) found.push_back(directory / name);
  }
  return found;
}

}  // namespace

const char* name_of(Split split) { return split == Split::train ? "train" : "val"; }

ShardSet::ShardSet(ShardSetOptions options)
    : options_(std::move(options)), storage_(options_.log), older_(shards_in(options_.directory)) {
  if (!older_.empty() && options_.existing == ExistingShards::refuse) {
    throw Error(ErrorKind::usage,
                fmt::format("{} holds token shards already ({})", options_.directory.string(),
                            older_.front().filename().string()),
                "write to another folder, or pass --replace");
  }
  os::create_directories_durably(storage_, options_.directory);
}

void ShardSet::append(Split split, std::span<const std::uint32_t> tokens) {
  while (!tokens.empty()) {
    TokenShardWriter& writer = writer_with_room(split);
    const std::uint64_t room = options_.shard_tokens - writer.header().token_count;
    const std::span part = tokens.first(std::min<std::uint64_t>(room, tokens.size()));
    writer.append(part);
    tokens = tokens.subspan(part.size());
  }
}

TokenShardWriter& ShardSet::writer_with_room(Split split) {
  std::vector<TokenShardWriter>& shards = series(split).shards;
  if (!shards.empty()) {
    if (shards.back().header().token_count < options_.shard_tokens) return shards.back();
    shards.back().seal();
  }
  return shards.emplace_back(options_.directory / file_name(split, shards.size()), options_.width,
                             options_.tokenizer);
}

std::vector<ShardRecord> ShardSet::commit() {
  std::vector<ShardRecord> records;
  for (const Split split : kSplits) {
    std::vector<TokenShardWriter>& shards = series(split).shards;
    if (!shards.empty()) shards.back().seal();
  }
  for (const Split split : kSplits) {
    for (TokenShardWriter& shard : series(split).shards) {
      shard.commit(storage_);
      records.push_back({.path = shard.path(), .split = split, .header = shard.header()});
    }
  }
  for (const std::filesystem::path& path : older_) {
    const bool replaced = std::any_of(records.begin(), records.end(),
                                      [&](const ShardRecord& r) { return r.path == path; });
    if (!replaced) storage_.remove(path);
  }
  storage_.sync_directory(options_.directory);
  return records;
}

}  // namespace ptrain::data
