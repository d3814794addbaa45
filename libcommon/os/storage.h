// The file system, as an interface: everything that must survive a crash is
// written through it, so that a test can fail any operation or stop between two.
//
// PosixStorage is the real one. Every method throws Error(io) naming what was
// attempted, the path and the sizes; expected outcomes (a file that is not
// there) are values. A Storage may be used from any thread; a file object
// belongs to one thread at a time.

#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "libcommon/base/log.h"
#include "libcommon/base/units.h"

namespace ptrain::os {

enum class FileKind { regular, directory, link, other };  // link: a symbolic one

struct FileStatus {
  FileKind kind = FileKind::regular;
  ByteCount size;  // of a regular file
  std::chrono::system_clock::time_point modified;
};

// A file being written from its start to its end. Closed, not synced, on destruction.
class WritableFile {
 public:
  virtual ~WritableFile() = default;
  virtual void append(std::span<const std::byte> bytes) = 0;
  // fsync. After a failure the file's contents are unknown: it must be thrown
  // away, never synced again (the kernel may have dropped the pages it could not write).
  virtual void sync() = 0;
};

// A file that is changed in place, in any order: what a transfer fills and repairs.
// Nothing of a change is durable, and its parts may be so in any order, until
// sync() has returned. Closed, not synced, on destruction.
class UpdatableFile {
 public:
  virtual ~UpdatableFile() = default;
  virtual ByteCount size() const = 0;
  // Past the end the file grows; what lies between reads as zeros.
  virtual void write_at(std::uint64_t offset, std::span<const std::byte> bytes) = 0;
  // Cuts the file off, or lengthens it by zeros.
  virtual void resize(ByteCount size) = 0;
  // As of WritableFile: after a failure the contents are unknown.
  virtual void sync() = 0;
};

class ReadableFile {
 public:
  virtual ~ReadableFile() = default;
  virtual ByteCount size() const = 0;
  // Fills all of `out` from `offset`; past the end is an Error(io). Any thread.
  virtual void read_at(std::uint64_t offset, std::span<std::byte> out) const = 0;
};

class Storage {
 public:
  virtual ~Storage() = default;

  // A new empty file, in place of one that may be there.
  virtual std::unique_ptr<WritableFile> create(const std::filesystem::path& path) = 0;
  // The file with the contents that it has; an empty one where there is none.
  virtual std::unique_ptr<UpdatableFile> open_for_update(const std::filesystem::path& path) = 0;
  virtual std::unique_ptr<ReadableFile> open(const std::filesystem::path& path) = 0;
  // What lies at `path` itself (links are not followed); empty where nothing does.
  virtual std::optional<FileStatus> status(const std::filesystem::path& path) = 0;
  // The same of what a link there leads to, however long the chain; empty where it leads nowhere.
  // A storage without links has no other answer than status().
  virtual std::optional<FileStatus> followed_status(const std::filesystem::path& path) {
    return status(path);
  }
  // The names in a directory, sorted, without . and ..; empty where there is no directory.
  virtual std::vector<std::string> list(const std::filesystem::path& directory) = 0;

  // Atomic; replaces a file that may be at `to`.
  virtual void rename(const std::filesystem::path& from, const std::filesystem::path& to) = 0;
  // A file or an empty directory. False when there was none.
  virtual bool remove(const std::filesystem::path& path) = 0;
  // One level. False when it was there already.
  virtual bool create_directory(const std::filesystem::path& path) = 0;
  // Makes the data of a file durable that another process may have written a moment ago.
  virtual void sync_file(const std::filesystem::path& path) = 0;
  // Makes the directory's entries durable: what was created, renamed or removed in it; as durable
  // as its disk can, where that has no fsync of directories.
  virtual void sync_directory(const std::filesystem::path& path) = 0;
};

class PosixStorage final : public Storage {
 public:
  // Where there is a log, it is told, once, of a disk that cannot make directories durable.
  explicit PosixStorage(Log* log = nullptr) : log_(log) {}

  std::unique_ptr<WritableFile> create(const std::filesystem::path& path) override;
  std::unique_ptr<UpdatableFile> open_for_update(const std::filesystem::path& path) override;
  std::unique_ptr<ReadableFile> open(const std::filesystem::path& path) override;
  std::optional<FileStatus> status(const std::filesystem::path& path) override;
  std::optional<FileStatus> followed_status(const std::filesystem::path& path) override;
  std::vector<std::string> list(const std::filesystem::path& directory) override;
  void rename(const std::filesystem::path& from, const std::filesystem::path& to) override;
  bool remove(const std::filesystem::path& path) override;
  bool create_directory(const std::filesystem::path& path) override;
  void sync_file(const std::filesystem::path& path) override;
  void sync_directory(const std::filesystem::path& path) override;

 private:
  void warn_once(const std::filesystem::path& path);

  Log* log_;
  std::atomic<bool> warned_{false};
};

}  // namespace ptrain::os
