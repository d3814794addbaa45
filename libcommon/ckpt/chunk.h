// The chunks of a tensor file: kChunkBytes each, the unit in which damage is found, named
// and repaired. Which tensors a chunk holds follows from the record alone, because the files
// of a checkpoint have one form.

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "libcommon/ckpt/progress.h"
#include "libcommon/ckpt/record.h"
#include "libcommon/os/storage.h"

namespace ptrain::ckpt {

// Read and hashed at a time: what was read is still in the cache when it is hashed.
inline constexpr std::size_t kPieceBytes = 1 << 20;
static_assert(kChunkBytes % kPieceBytes == 0);

// Bytes [begin, end) of a file.
struct ByteRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;

  std::uint64_t size() const { return end - begin; }
  bool operator==(const ByteRange&) const = default;
};

ByteRange chunk_range(const FileRecord& file, std::size_t chunk);
// The header that the file begins with.
std::string header_of(const FileRecord& file);
// Where each tensor lies in the file, in file order.
std::vector<ByteRange> tensor_ranges(const FileRecord& file);
// The names of the tensors that have bytes in the range; "the header" for those before.
std::vector<std::string> tensors_in(const FileRecord& file, const ByteRange& range);

// Whether the chunk has the hash that the record gives. `buffer` is read into: not empty, best of
// kPieceBytes. The file has the size of the record. Throws Error(io) when the system cannot read.
bool chunk_is_whole(const os::ReadableFile& file, const FileRecord& record, std::size_t chunk,
                    std::span<std::byte> buffer, const Progress& progress);

}  // namespace ptrain::ckpt
