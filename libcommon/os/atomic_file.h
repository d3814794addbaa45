// A file that is either there whole and durable, or not there at all.
//
// The one place that knows the order: write a temporary file beside the target,
// fsync it, rename it, fsync the directory. Whatever fails before the rename
// leaves the target as it was and the temporary file removed; a process killed
// in between leaves a file whose name starts with ".tmp-".

#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "libcommon/base/units.h"
#include "libcommon/os/storage.h"

namespace ptrain::os {

inline constexpr std::string_view kTemporaryPrefix = ".tmp-";

// ".tmp-WRITER.NAME". Processes that may write the same target at the same time
// use different writers, or one would truncate what the other is about to rename.
std::string temporary_name(std::string_view writer, std::string_view name);

// One thread at a time. `storage` outlives the object.
class AtomicFile {
 public:
  AtomicFile(Storage& storage, std::filesystem::path target, std::string_view writer);
  // Removes the temporary file unless commit() renamed it.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void append(std::span<const std::byte> bytes);
  // fsync, rename, fsync directory: the target is durable when this returns. Once.
  void commit();

  ByteCount size() const { return size_; }

 private:
  Storage& storage_;
  std::filesystem::path target_;
  std::filesystem::path temporary_;
  std::unique_ptr<WritableFile> file_;
  ByteCount size_;
};

void write_file_durably(Storage& storage, const std::filesystem::path& target,
                        std::string_view writer, std::span<const std::byte> bytes);

// Makes the missing directories of `path`, each one's entry durable in its parent.
void create_directories_durably(Storage& storage, const std::filesystem::path& path);

}  // namespace ptrain::os
