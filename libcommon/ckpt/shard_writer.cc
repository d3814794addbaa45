#include "libcommon/ckpt/shard_writer.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "libcommon/base/bytes_of.h"
#include "libcommon/base/error.h"
#include "libcommon/ckpt/safetensors.h"

namespace ptrain::ckpt {

ShardWriter::ShardWriter(os::Storage& storage, const std::filesystem::path& target,
                         std::string_view writer, std::vector<TensorInfo> tensors)
    : file_(storage, target, writer) {
  record_.file.name = target.filename().string();
  write(bytes_of(safetensors_header(tensors, pytorch_metadata())));
  for (TensorInfo& tensor : tensors) record_.tensors.push_back({std::move(tensor), {}});
  if (!record_.tensors.empty()) tensor_left_bytes_ = *byte_size(record_.tensors.front().info);
  end_empty_and_full_tensors();
}

void ShardWriter::append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    if (tensor_ == record_.tensors.size()) {
      throw Error(ErrorKind::internal, fmt::format("{}: {} bytes after the last tensor",
                                                   record_.file.name, bytes.size()));
    }
    // The pieces are small enough that what the tensor's hash has read is still in the
    // cache for the others.
    const auto piece = bytes.first(static_cast<std::size_t>(
        std::min<std::uint64_t>({bytes.size(), tensor_left_bytes_, kBufferBytes})));
    tensor_hash_.update(piece);
    write(piece);
    tensor_left_bytes_ -= piece.size();
    bytes = bytes.subspan(piece.size());
    end_empty_and_full_tensors();
  }
}

FileRecord ShardWriter::finish() {
  if (tensor_ < record_.tensors.size()) {
    throw Error(ErrorKind::internal,
                fmt::format("{}: tensor \"{}\" lacks {} bytes", record_.file.name,
                            record_.tensors[tensor_].info.name, tensor_left_bytes_));
  }
  flush();
  if (file_hasher_) {
    file_hasher_->finish();
    chunk_hasher_->finish();
  }
  if (chunk_fill_bytes_ > 0) record_.chunk_sha256.push_back(chunk_hash_.digest());
  record_.file.bytes = file_.size();
  record_.file.sha256 = file_hash_.digest();
  return std::move(record_);
}

void ShardWriter::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    std::vector<std::byte>& buffer = buffers_[buffer_];
    if (buffer.empty()) buffer.reserve(kBufferBytes);
    const auto piece = bytes.first(std::min(bytes.size(), kBufferBytes - buffer.size()));
    buffer.insert(buffer.end(), piece.begin(), piece.end());
    bytes = bytes.subspan(piece.size());
    if (buffer.size() == kBufferBytes) flush();
  }
}

void ShardWriter::flush() {
  const std::vector<std::byte>& buffer = buffers_[buffer_];
  if (buffer.size() == kBufferBytes && !file_hasher_) {
    file_hasher_.emplace([this](std::span<const std::byte> piece) { hash_file(piece); });
    chunk_hasher_.emplace([this](std::span<const std::byte> piece) { hash_chunks(piece); });
  }
  if (file_hasher_) {
    file_hasher_->push(buffer);
    chunk_hasher_->push(buffer);
  } else {
    hash_file(buffer);
    hash_chunks(buffer);
  }
  file_.append(buffer);
  buffer_ = (buffer_ + 1) % kBuffers;
  buffers_[buffer_].clear();
}

void ShardWriter::hash_file(std::span<const std::byte> buffer) { file_hash_.update(buffer); }

void ShardWriter::hash_chunks(std::span<const std::byte> buffer) {
  chunk_hash_.update(buffer);
  chunk_fill_bytes_ += buffer.size();
  if (chunk_fill_bytes_ == kChunkBytes) {
    record_.chunk_sha256.push_back(chunk_hash_.digest());
    chunk_hash_ = Sha256();
    chunk_fill_bytes_ = 0;
  }
}

void ShardWriter::end_empty_and_full_tensors() {
  while (tensor_ < record_.tensors.size() && tensor_left_bytes_ == 0) {
    record_.tensors[tensor_].sha256 = tensor_hash_.digest();
    tensor_hash_ = Sha256();
    ++tensor_;
    if (tensor_ < record_.tensors.size()) {
      tensor_left_bytes_ = *byte_size(record_.tensors[tensor_].info);
    }
  }
}

}  // namespace ptrain::ckpt
