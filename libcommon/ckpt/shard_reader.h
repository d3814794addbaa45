// One tensor file of a stage, read as its record describes it.
//
// Opening checks that it is a regular file of the right size with the one header that the
// record's tensors can have. A tensor that is read is checked against its SHA-256
// when its last byte has been given out: whoever takes it in pieces keeps the result back until
// then. Damage throws Error(corrupt) naming the file and the chunk.
//
// Owns its open file. Reading is possible from any thread.

#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "libcommon/ckpt/chunk.h"
#include "libcommon/ckpt/record.h"
#include "libcommon/ckpt/tensor.h"
#include "libcommon/os/storage.h"

namespace ptrain::ckpt {

class ShardReader;

// One tensor in pieces of kPieceBytes, the last one shorter: whole elements each. Refers to
// its reader.
class TensorPieces {
 public:
  TensorPieces(const ShardReader& shard, std::size_t tensor);
  // The next piece, which stays until the next call; empty after the last, when the tensor has
  // been found to be what was saved.
  std::span<const std::byte> next();

 private:
  const ShardReader* shard_;
  std::size_t tensor_;
  std::uint64_t at_;
  std::vector<std::byte> buffer_;
  Sha256 hash_;
};

class ShardReader {
 public:
  // `hint` is what a person can do about damage.
  ShardReader(os::Storage& storage, const std::filesystem::path& path, FileRecord record,
              std::string hint);

  // The tensor with that place in the record.
  TensorPieces pieces(std::size_t tensor) const;
  void stream(std::size_t tensor, const ByteSink& sink) const;
  // Into memory of exactly the tensor's size.
  void read(std::size_t tensor, std::span<std::byte> out) const;

  const FileRecord& record() const { return record_; }
  const std::string& path() const { return path_; }
  const ByteRange& range(std::size_t tensor) const { return ranges_[tensor]; }
  // Throws unless the chunk is whole.
  void check_chunk(std::size_t chunk, const Progress& progress = {}) const;

 private:
  friend class TensorPieces;

  [[noreturn]] void fail(const std::string& what) const;
  void check_header() const;
  void check_tensor(std::size_t tensor, const Sha256Digest& found) const;

  std::string path_;  // for errors
  FileRecord record_;
  std::string hint_;
  std::unique_ptr<os::ReadableFile> file_;
  std::vector<ByteRange> ranges_;  // of record_.tensors
};

}  // namespace ptrain::ckpt
