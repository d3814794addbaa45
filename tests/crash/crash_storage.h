// A Storage in memory over a DiskModel, which tells an observer after every operation that
// changes the disk: there a test asks what a crash at that moment could leave.
//
// Paths are absolute. Errors read as those of PosixStorage. Any thread; the observer runs
// under the storage's lock and must not call it.

#pragma once

#include <functional>
#include <mutex>

#include "libcommon/os/storage.h"
#include "tests/crash/disk_model.h"

namespace ptrain::crash {

class CrashStorage final : public os::Storage {
 public:
  // `operation` says what was done: "rename /a/x to /a/y".
  using Observer = std::function<void(const DiskModel& disk, const std::string& operation)>;

  explicit CrashStorage(const DiskImage& image = {}, Observer after_each = {});

  DiskModel model() const;

  std::unique_ptr<os::WritableFile> create(const std::filesystem::path& path) override;
  std::unique_ptr<os::UpdatableFile> open_for_update(const std::filesystem::path& path) override;
  std::unique_ptr<os::ReadableFile> open(const std::filesystem::path& path) override;
  std::optional<os::FileStatus> status(const std::filesystem::path& path) override;
  std::vector<std::string> list(const std::filesystem::path& directory) override;
  void rename(const std::filesystem::path& from, const std::filesystem::path& to) override;
  bool remove(const std::filesystem::path& path) override;
  bool create_directory(const std::filesystem::path& path) override;
  void sync_file(const std::filesystem::path& path) override;
  void sync_directory(const std::filesystem::path& path) override;

 private:
  using Node = DiskModel::Node;
  class File;
  class Writable;
  class Updatable;
  class Readable;

  std::optional<Node> find(const std::filesystem::path& path) const;
  Node parent_of(const std::filesystem::path& path, const char* attempt) const;
  void observe(const std::string& operation);
  void change_file(Node file, FileChange change, const std::string& operation);
  void sync_node(Node file, const std::string& operation);

  mutable std::mutex mutex_;
  DiskModel disk_;
  Observer after_each_;
};

}  // namespace ptrain::crash
