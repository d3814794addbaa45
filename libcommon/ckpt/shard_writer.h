// Writes one safetensors file in a single pass: the bytes go to the file and into
// the SHA-256 of the file, of each chunk and of each tensor on their way.
//
// Three hashes cost more than the writing: on one core SHA-256 takes 1.8 GB/s, and a
// disk up to 2. So the file's and the chunks' run on a thread each beside the writing
// and the tensors', from the first full buffer on; smaller files need no threads.
// Memory: kBuffers buffers of kBufferBytes, whatever the tensors' sizes.
//
// The owner is one thread. finish() gives the record of what was written, commit() puts the
// file in place; until then nothing under the target's name has changed.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "libcommon/base/sha256.h"
#include "libcommon/ckpt/piece_consumer.h"
#include "libcommon/ckpt/record.h"
#include "libcommon/ckpt/tensor.h"
#include "libcommon/os/atomic_file.h"

namespace ptrain::ckpt {

class ShardWriter {
 public:
  // Writes the header. `storage` outlives the object.
  ShardWriter(os::Storage& storage, const std::filesystem::path& target, std::string_view writer,
              std::vector<TensorInfo> tensors);

  // The next bytes of the tensors' data, in the order of the tensors, in pieces of any size.
  void append(std::span<const std::byte> bytes);
  // After the last byte, once.
  FileRecord finish();
  // After finish(): durable under the target's name when it returns.
  void commit() { file_.commit(); }

 private:
  // Small tensors are gathered to writes of this size. A chunk is a whole number of
  // buffers, so a buffer never crosses a chunk's end.
  static constexpr std::size_t kBufferBytes = 1 << 20;
  static_assert(kChunkBytes % kBufferBytes == 0);
  // One is being filled while the others are hashed.
  static constexpr std::size_t kBuffers = PieceConsumer::kPiecesInUse + 1;

  void write(std::span<const std::byte> bytes);
  void flush();
  void hash_file(std::span<const std::byte> buffer);
  void hash_chunks(std::span<const std::byte> buffer);
  void end_empty_and_full_tensors();

  os::AtomicFile file_;
  FileRecord record_;
  std::array<std::vector<std::byte>, kBuffers> buffers_;  // used in turn
  std::size_t buffer_ = 0;  // being filled; less than kBufferBytes between calls
  Sha256 file_hash_;
  Sha256 chunk_hash_;
  std::uint64_t chunk_fill_bytes_ = 0;
  std::size_t tensor_ = 0;  // the one that the next byte belongs to
  std::uint64_t tensor_left_bytes_ = 0;
  Sha256 tensor_hash_;
  // Last: they use the members above.
  std::optional<PieceConsumer> file_hasher_;
  std::optional<PieceConsumer> chunk_hasher_;
};

}  // namespace ptrain::ckpt
