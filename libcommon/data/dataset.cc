#include "libcommon/data/dataset.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <memory>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <glob.h>

#include "libcommon/base/error.h"
#include "libcommon/base/sha256.h"

namespace ptrain::data {
namespace {

namespace fs = std::filesystem;

// Whether something of that name is there, be it a link that leads nowhere: it was meant.
bool exists(const std::string& path) {
  std::error_code error;
  return fs::exists(fs::symlink_status(path, error));
}

std::string without_meaning(std::string_view literal) {
  std::string escaped;
  for (const char c : literal) {
    if (std::string_view("*?[]\\").find(c) != std::string_view::npos) escaped += '\\';
    escaped += c;
  }
  return escaped;
}

// The word as glob(3) must see it: folders at its beginning that exist under the names written
// are these folders, whatever is in their names.
std::string pattern_of(const std::string& word) {
  std::size_t literal_end = 0;
  for (std::size_t slash = word.find('/'); slash != std::string::npos;
       slash = word.find('/', slash + 1)) {
    if (slash > 0 && !exists(word.substr(0, slash))) break;
    literal_end = slash + 1;
  }
  return without_meaning(word.substr(0, literal_end)) + word.substr(literal_end);
}

// A name that exists is that file, a pattern is what does not.
std::vector<std::string> match_glob(const std::string& word) {
  if (exists(word)) return {word};
  const std::string pattern = pattern_of(word);
  glob_t found{};
  const std::unique_ptr<glob_t, decltype(&::globfree)> owner(&found, &::globfree);
  const int result = ::glob(pattern.c_str(), GLOB_ERR | GLOB_NOSORT, nullptr, &found);
  if (result == GLOB_NOMATCH) {
    throw Error(ErrorKind::io, fmt::format("no file matches '{}'", word),
                "make the token shards with ptrain-data encode, or correct the pattern");
  }
  if (result != 0) throw io_error(fmt::format("list the files of '{}'", word), errno);
  std::vector<std::string> paths(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  // Not glob's own order, which follows the locale: hosts must agree.
  std::sort(paths.begin(), paths.end());
  return paths;
}

void update_with_sample(Sha256& hash, const TokenShard& shard) {
  const std::array<std::uint64_t, 2> shape{shard.token_count(), bytes_per_token(shard.width())};
  hash.update(std::as_bytes(std::span(shape)));
  const std::span tokens = shard.file_bytes().subspan(kShardHeaderBytes);
  const std::size_t block = std::min<std::size_t>(kFingerprintBlockBytes, tokens.size());
  const std::size_t last = tokens.size() - block;
  for (const std::size_t offset : {std::size_t{0}, last / 2, last}) {
    hash.update(tokens.subspan(offset, block));
  }
}

}  // namespace

std::vector<std::filesystem::path> match_globs(const std::vector<std::string>& globs) {
  std::vector<std::filesystem::path> paths;
  std::set<std::string> seen;
  for (const std::string& word : globs) {
    for (std::string& path : match_glob(word)) {
      if (seen.insert(path).second) paths.emplace_back(std::move(path));
    }
  }
  return paths;
}

TokenDataset::TokenDataset(const DatasetOptions& options)
    : seq_len_(options.seq_len), vocab_size_(options.vocab_size) {
  if (seq_len_ == 0) throw Error(ErrorKind::usage, "a sequence of 0 tokens");
  std::uint64_t windows = 0;
  for (std::filesystem::path& path : match_globs(options.globs)) {
    const TokenShard& shard = shards_.emplace_back(std::move(path));
    if (shard.token_count() > 0) windows += (shard.token_count() - 1) / seq_len_;
    window_ends_.push_back(windows);
  }
  if (windows == 0) {
    throw Error(ErrorKind::usage,
                fmt::format("'{}': no shard holds the {} tokens that a sequence of {} and its last "
                            "target need",
                            fmt::join(options.globs, "', '"), seq_len_ + 1, seq_len_),
                "use a shorter data.seq_len or more text");
  }
  if (token_count() <= kEagerCheckTokens) {
    for (const TokenShard& shard : shards_) {
      shard.require_vocabulary(vocab_size_, 0, shard.token_count());
    }
  }
}

std::uint64_t TokenDataset::window_count() const { return window_ends_.back(); }

std::uint64_t TokenDataset::token_count() const {
  std::uint64_t count = 0;
  for (const TokenShard& shard : shards_) count += shard.token_count();
  return count;
}

void TokenDataset::read_window(std::uint64_t index, std::span<std::int32_t> inputs,
                               std::span<std::int32_t> targets) const {
  if (index >= window_count() || inputs.size() != seq_len_ || targets.size() != seq_len_) {
    throw Error(ErrorKind::internal,
                fmt::format("window {} of {} read into {} inputs and {} targets, expected {}",
                            index, window_count(), inputs.size(), targets.size(), seq_len_));
  }
  const auto end = std::upper_bound(window_ends_.begin(), window_ends_.end(), index);
  const std::uint64_t windows_before = end == window_ends_.begin() ? 0 : *std::prev(end);
  const TokenShard& shard = shards_[static_cast<std::size_t>(end - window_ends_.begin())];
  const std::uint64_t begin = (index - windows_before) * seq_len_;
  shard.require_vocabulary(vocab_size_, begin, begin + seq_len_ + 1);
  shard.copy(begin, inputs);
  shard.copy(begin + 1, targets);
}

const TokenShard* TokenDataset::made_by_another(
    const std::optional<Sha256Digest>& tokenizer) const {
  const auto found = std::find_if(shards_.begin(), shards_.end(), [&](const TokenShard& shard) {
    return shard.header().tokenizer && shard.header().tokenizer != tokenizer;
  });
  return found == shards_.end() ? nullptr : &*found;
}

std::string TokenDataset::fingerprint() const {
  Sha256 hash;
  for (const TokenShard& shard : shards_) update_with_sample(hash, shard);
  return to_hex(hash.digest());
}

std::optional<std::size_t> TokenDataset::shards_of(const std::string& fingerprint) const {
  Sha256 hash;
  for (std::size_t i = 0; i < shards_.size(); ++i) {
    update_with_sample(hash, shards_[i]);
    if (to_hex(hash.so_far()) == fingerprint) return i + 1;
  }
  return std::nullopt;
}

std::string sample_digest(const TokenShard& shard) {
  Sha256 hash;
  update_with_sample(hash, shard);
  return to_hex(hash.digest());
}

}  // namespace ptrain::data
