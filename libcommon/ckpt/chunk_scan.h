// Finds the damaged chunks of many files, on several threads: hashing is what verification
// waits for, and chunks can be hashed in any order.

#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "libcommon/ckpt/progress.h"
#include "libcommon/ckpt/record.h"
#include "libcommon/os/storage.h"

namespace ptrain::ckpt {

struct ScannedFile {
  std::unique_ptr<os::ReadableFile> file;  // of the record's size
  FileRecord record;
};

struct ChunkPlace {
  std::size_t file = 0;
  std::size_t chunk = 0;

  auto operator<=>(const ChunkPlace&) const = default;
};

// The chunks that do not have the recorded hash, ascending. The calling thread works too, and
// `progress` is called from it alone. What any thread throws is thrown here, once all have
// ended. Needs threads x kPieceBytes of memory.
std::vector<ChunkPlace> find_bad_chunks(const std::vector<ScannedFile>& files, std::size_t threads,
                                        const Progress& progress);

}  // namespace ptrain::ckpt
