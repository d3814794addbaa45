#include "libcommon/ckpt/shard_reader.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/os/read_file.h"

namespace ptrain::ckpt {

ShardReader::ShardReader(os::Storage& storage, const std::filesystem::path& path, FileRecord record,
                         std::string hint)
    : path_(path.string()),
      record_(std::move(record)),
      hint_(std::move(hint)),
      file_(os::open_regular(storage, path)),
      ranges_(tensor_ranges(record_)) {
  if (file_->size() != record_.file.bytes) {
    fail(fmt::format("{} bytes, its record says {}", file_->size().value(),
                     record_.file.bytes.value()));
  }
  check_header();
}

void ShardReader::fail(const std::string& what) const {
  throw Error(ErrorKind::corrupt, path_ + ": " + what, hint_);
}

// There is one header that a file with these tensors can have, so no other is parsed: what a
// hostile one claims costs nothing.
void ShardReader::check_header() const {
  const std::string expected = header_of(record_);
  std::string found(std::min<std::uint64_t>(expected.size(), file_->size().value()), '\0');
  file_->read_at(0, std::as_writable_bytes(std::span(found)));
  const auto different = std::ranges::mismatch(found, expected);
  if (different.in2 == expected.end()) return;
  fail(fmt::format("its header is not the one that its record gives: byte {} differs",
                   different.in2 - expected.begin()));
}

TensorPieces ShardReader::pieces(std::size_t tensor) const { return TensorPieces(*this, tensor); }

TensorPieces::TensorPieces(const ShardReader& shard, std::size_t tensor)
    : shard_(&shard),
      tensor_(tensor),
      at_(shard.ranges_[tensor].begin),
      buffer_(std::min<std::uint64_t>(kPieceBytes, shard.ranges_[tensor].size())) {}

std::span<const std::byte> TensorPieces::next() {
  const std::uint64_t left = shard_->ranges_[tensor_].end - at_;
  if (left == 0) {
    shard_->check_tensor(tensor_, hash_.digest());
    return {};
  }
  const auto piece = std::span(buffer_).first(std::min<std::uint64_t>(buffer_.size(), left));
  shard_->file_->read_at(at_, piece);
  hash_.update(piece);
  at_ += piece.size();
  return piece;
}

void ShardReader::stream(std::size_t tensor, const ByteSink& sink) const {
  TensorPieces pieces(*this, tensor);
  for (auto piece = pieces.next(); !piece.empty(); piece = pieces.next()) sink(piece);
}

void ShardReader::read(std::size_t tensor, std::span<std::byte> out) const {
  const ByteRange& range = ranges_[tensor];
  const TensorInfo& info = record_.tensors[tensor].info;
  if (out.size() != range.size()) {
    throw Error(ErrorKind::internal, fmt::format("tensor \"{}\" of {} bytes read into {}",
                                                 info.name, range.size(), out.size()));
  }
  Sha256 hash;
  for (std::size_t done = 0; done < out.size();) {
    const auto piece = out.subspan(done, std::min(kPieceBytes, out.size() - done));
    file_->read_at(range.begin + done, piece);
    hash.update(piece);
    done += piece.size();
  }
  check_tensor(tensor, hash.digest());
}

void ShardReader::check_tensor(std::size_t tensor, const Sha256Digest& found) const {
  if (found == record_.tensors[tensor].sha256) return;
  const ByteRange& range = ranges_[tensor];
  for (std::uint64_t chunk = range.begin / kChunkBytes; chunk * kChunkBytes < range.end; ++chunk) {
    check_chunk(chunk);
  }
  fail(fmt::format("tensor \"{}\" does not have the SHA-256 that its record gives",
                   record_.tensors[tensor].info.name));
}

void ShardReader::check_chunk(std::size_t chunk, const Progress& progress) const {
  const ByteRange range = chunk_range(record_, chunk);
  std::vector<std::byte> buffer(std::min<std::uint64_t>(kPieceBytes, range.size()));
  if (chunk_is_whole(*file_, record_, chunk, buffer, progress)) return;
  fail(fmt::format("chunk {} (bytes {} to {}) does not have the SHA-256 that was saved", chunk,
                   range.begin, range.end));
}

}  // namespace ptrain::ckpt
