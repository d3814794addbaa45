#include "libcommon/data/token_shard_writer.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "libcommon/base/error.h"
#include "libcommon/os/atomic_file.h"
#include "libcommon/os/storage.h"

namespace ptrain::data {
namespace {

std::filesystem::path temporary_path(const std::filesystem::path& path) {
  return path.parent_path() /
         os::temporary_name(std::to_string(::getpid()), path.filename().string());
}

template <class T>
void narrow(std::span<const std::uint32_t> tokens, std::vector<std::byte>& out) {
  out.resize(tokens.size() * sizeof(T));
  T* values = reinterpret_cast<T*>(out.data());
  for (std::size_t i = 0; i < tokens.size(); ++i) values[i] = static_cast<T>(tokens[i]);
}

}  // namespace

TokenShardWriter::TokenShardWriter(std::filesystem::path path, TokenWidth width,
                                   const std::optional<Sha256Digest>& tokenizer)
    : path_(std::move(path)),
      temporary_(temporary_path(path_)),
      file_(::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)),
      header_{.width = width, .token_count = 0, .tokenizer = tokenizer} {
  if (!file_.valid()) throw io_error("create " + path_.string(), errno);
  if (::lseek(file_.get(), kShardHeaderBytes, SEEK_SET) < 0) {
    throw io_error("seek in " + path_.string(), errno);
  }
}

TokenShardWriter::~TokenShardWriter() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

TokenShardWriter::TokenShardWriter(TokenShardWriter&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, {})),
      file_(std::move(other.file_)),
      header_(other.header_),
      block_(std::move(other.block_)) {}

void TokenShardWriter::append(std::span<const std::uint32_t> tokens) {
  if (tokens.size() > kMaxShardTokens - header_.token_count) {
    throw Error(ErrorKind::usage,
                fmt::format("{}: {} tokens, but a shard holds at most {}", path_.string(),
                            header_.token_count + tokens.size(), kMaxShardTokens),
                "write smaller shards");
  }
  if (header_.width == TokenWidth::bits16) {
    require_16_bits(tokens);
    narrow<std::uint16_t>(tokens, block_);
  } else {
    narrow<std::uint32_t>(tokens, block_);
  }
  write(block_);
  header_.token_count += tokens.size();
}

void TokenShardWriter::require_16_bits(std::span<const std::uint32_t> tokens) const {
  std::uint32_t largest = 0;  // a loop without a way out is several times faster
  for (const std::uint32_t token : tokens) largest = std::max(largest, token);
  if (largest <= kMax16BitToken) return;
  const auto wide = std::find_if(tokens.begin(), tokens.end(),
                                 [](std::uint32_t token) { return token > kMax16BitToken; });
  throw Error(
      ErrorKind::usage,
      fmt::format("{}: token {} at index {} does not fit into 16 bits", path_.string(), *wide,
                  header_.token_count + static_cast<std::uint64_t>(wide - tokens.begin())),
      "write 32-bit tokens (--width 32)");
}

void TokenShardWriter::seal() {
  if (::lseek(file_.get(), 0, SEEK_SET) < 0) throw io_error("seek in " + path_.string(), errno);
  write(serialise(header_));
  if (::fsync(file_.get()) != 0) throw io_error("flush " + path_.string(), errno);
  file_.reset();
  block_ = {};  // a set of many sealed shards should not hold as many blocks
}

void TokenShardWriter::commit(os::Storage& storage) {
  if (file_.valid()) seal();
  storage.rename(temporary_, path_);
  temporary_.clear();
  storage.sync_directory(path_.has_parent_path() ? path_.parent_path() : ".");
}

void TokenShardWriter::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file_.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw io_error("write " + path_.string(), errno);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

}  // namespace ptrain::data
