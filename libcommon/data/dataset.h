// The training or validation text of a job: token shards, cut into windows.
//
// A window is seq_len inputs and the target of each, which is the token that follows it. The
// windows of a shard do not overlap and none crosses into the next shard: n tokens give
// (n - 1) / seq_len windows. They are numbered through the shards in order: the globs in
// the order given, the files of each sorted by name. Which window belongs to which step is
// the job's business (job/data_order.h).
//
// Immutable after construction: any number of threads may read from one. Every token that is
// read is checked against the vocabulary, and data sets of at most kEagerCheckTokens are
// checked whole when they are opened.

#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "libcommon/data/token_shard.h"

namespace ptrain::data {

// 64 Mi tokens, which take some 50 ms to check.
inline constexpr std::uint64_t kEagerCheckTokens = std::uint64_t{1} << 26;
// The fingerprint reads this much of a shard's beginning, middle and end.
inline constexpr std::uint64_t kFingerprintBlockBytes = std::uint64_t{1} << 16;

struct DatasetOptions {
  std::vector<std::string> globs;
  std::uint64_t seq_len = 0;     // tokens a window, at least 1
  std::uint32_t vocab_size = 0;  // every token must be below it
};

class TokenDataset {
 public:
  // Throws Error(io) naming a glob that matches nothing, Error(corrupt) for a shard that is
  // not valid or a token beyond the vocabulary, Error(usage) when no window fits.
  explicit TokenDataset(const DatasetOptions& options);

  std::uint64_t seq_len() const { return seq_len_; }
  std::uint64_t window_count() const;
  std::uint64_t token_count() const;
  const std::vector<TokenShard>& shards() const { return shards_; }
  // The first shard that says it was made by another tokenizer than this one ("bytes" has no
  // digest); null where none does.
  const TokenShard* made_by_another(const std::optional<Sha256Digest>& tokenizer) const;

  // Window `index` < window_count(); both spans hold seq_len() tokens. targets[i] is the
  // token after inputs[i].
  void read_window(std::uint64_t index, std::span<std::int32_t> inputs,
                   std::span<std::int32_t> targets) const;

  // SHA-256, in hexadecimal, of the token count, the token width and a bounded sample of the
  // contents of every shard, in order. Two hosts whose copies differ in name or place only
  // agree on it.
  std::string fingerprint() const;

  // How many of the shards, from the first on, make a data set of that fingerprint; nothing where
  // none do. All of them only where it is this one's.
  std::optional<std::size_t> shards_of(const std::string& fingerprint) const;

 private:
  std::uint64_t seq_len_;
  std::uint32_t vocab_size_;
  std::vector<TokenShard> shards_;
  std::vector<std::uint64_t> window_ends_;  // of each shard: windows in it and all before it
};

// The same of one shard.
std::string sample_digest(const TokenShard& shard);

// The paths that the globs match: the globs in order, the matches of each sorted by bytes, a
// path that two of them match once. What exists under the name as it is written, whole or in its
// folders, is no pattern: "val[0].bin" is that file where there is one. Throws Error(io) naming a
// glob that matches nothing.
std::vector<std::filesystem::path> match_globs(const std::vector<std::string>& globs);

}  // namespace ptrain::data
