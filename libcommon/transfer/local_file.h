// One data file of a checkpoint on its way to being whole here.
//
// What is here already is found by hashing chunk by chunk, so that a fetch goes on after
// any end, and a damaged file is mended where it is damaged: in place, if it has its size
// and the checkpoint's own manifest stands beside it, since the step was corrupt then and no
// chunk that was good is touched. Otherwise the bytes go into a temporary file that
// finish() renames, so that nothing of another checkpoint or of a save under way is
// changed, and no file has its size before it is whole.
//
// Writes only through os::Storage. One thread. Chunks are given to write() only after their
// hash was checked.

#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "libcommon/base/units.h"
#include "libcommon/ckpt/record.h"
#include "libcommon/os/storage.h"

namespace ptrain::transfer {

// Whether the target may be changed before it is whole.
enum class Repair { in_place, by_renaming };

class LocalFile {
 public:
  // `storage` and `record` outlive the object. `writer` is in the temporary file's name.
  LocalFile(os::Storage& storage, std::filesystem::path folder, const ckpt::FileRecord& record,
            Repair repair, std::string_view writer);

  // Reads what is here. `progress` is told of bytes as they are hashed; throws Error(corrupt)
  // when something lies here that is no regular file.
  void inspect(const std::function<void(ByteCount)>& progress);
  const std::vector<std::uint32_t>& missing() const { return missing_; }
  // Of the missing ones, those of a file that was here under its name: damage, not absence.
  const std::vector<std::uint32_t>& damaged() const { return damaged_; }
  ByteCount chunk_bytes(std::uint32_t chunk) const;

  void write(std::uint32_t chunk, std::span<const std::byte> bytes);
  // When nothing is missing any more: durable and in place when it returns.
  void finish();

  const ckpt::FileRecord& record() const { return record_; }

 private:
  // Which chunks of that file are good; none where there is no file.
  std::vector<bool> good_chunks(const std::filesystem::path& path,
                                const std::function<void(ByteCount)>& progress) const;
  void keep_good_chunks_of_target(const std::vector<bool>& in_target,
                                  const std::vector<bool>& in_temporary);
  os::UpdatableFile& file();

  os::Storage& storage_;
  std::filesystem::path folder_;
  const ckpt::FileRecord& record_;
  Repair repair_;
  std::filesystem::path target_;
  std::filesystem::path temporary_;
  std::filesystem::path written_;  // one of the two
  std::vector<std::uint32_t> missing_;
  std::vector<std::uint32_t> damaged_;
  std::unique_ptr<os::UpdatableFile> file_;
  std::uint64_t unsynced_bytes_ = 0;
  bool whole_ = false;  // the target was whole when it was inspected
};

}  // namespace ptrain::transfer
