// A Storage that fails one chosen operation and passes the others on: what a full
// disk or a dying one does to a save, one place after another.

#pragma once

#include <cerrno>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "libcommon/base/error.h"
#include "libcommon/os/storage.h"

namespace ptrain::os {

enum class Syncs {
  left_out,   // to a real disk: no test cuts its power, and they are what takes the time
  passed_on,  // to a storage that a crash may strike
};

enum class Lasting {
  once,      // the operations after it succeed
  for_good,  // every later one fails as well, as on a disk that is full or dead
};

// A file whose sync has failed takes no second one: the kernel may have dropped what it
// could not write, and would say that all is well. That is a defect of the caller.
//
// Counts what changes the disk: create, open for update, append, write, resize, sync,
// rename, remove, create directory, sync directory.
class FaultyStorage final : public Storage {
 public:
  static constexpr std::size_t kNever = std::numeric_limits<std::size_t>::max();

  explicit FaultyStorage(Storage& real, std::size_t failing = kNever, int error_number = ENOSPC,
                         Syncs syncs = Syncs::left_out, Lasting lasting = Lasting::once)
      : real_(real),
        failing_(failing),
        error_number_(error_number),
        syncs_(syncs),
        lasting_(lasting) {}

  bool failed() const { return log_.size() > failing_; }
  // What was done or tried, in order: "sync .tmp-a.x", "rename x".
  const std::vector<std::string>& log() const { return log_; }

  std::unique_ptr<WritableFile> create(const std::filesystem::path& path) override {
    step("create", path);
    return std::make_unique<File>(*this, real_.create(path), path);
  }
  std::unique_ptr<UpdatableFile> open_for_update(const std::filesystem::path& path) override {
    step("open-for-update", path);
    return std::make_unique<Updatable>(*this, real_.open_for_update(path), path);
  }
  void rename(const std::filesystem::path& from, const std::filesystem::path& to) override {
    step("rename", to);
    real_.rename(from, to);
  }
  bool remove(const std::filesystem::path& path) override {
    step("remove", path);
    return real_.remove(path);
  }
  bool create_directory(const std::filesystem::path& path) override {
    step("create-directory", path);
    return real_.create_directory(path);
  }
  void sync_file(const std::filesystem::path& path) override {
    step("sync", path);
    if (syncs_ == Syncs::passed_on) real_.sync_file(path);
  }
  void sync_directory(const std::filesystem::path& path) override {
    step("sync-directory", path);
    if (syncs_ == Syncs::passed_on) real_.sync_directory(path);
  }
  std::unique_ptr<ReadableFile> open(const std::filesystem::path& path) override {
    return real_.open(path);
  }
  std::optional<FileStatus> status(const std::filesystem::path& path) override {
    return real_.status(path);
  }
  std::optional<FileStatus> followed_status(const std::filesystem::path& path) override {
    return real_.followed_status(path);
  }
  std::vector<std::string> list(const std::filesystem::path& directory) override {
    return real_.list(directory);
  }

 private:
  class File final : public WritableFile {
   public:
    File(FaultyStorage& owner, std::unique_ptr<WritableFile> real, std::filesystem::path path)
        : owner_(owner), real_(std::move(real)), path_(std::move(path)) {}
    void append(std::span<const std::byte> bytes) override {
      owner_.write("append", path_, bytes, [this](auto part) { real_->append(part); });
    }
    void sync() override { owner_.sync(*real_, path_, unknown_); }

   private:
    FaultyStorage& owner_;
    std::unique_ptr<WritableFile> real_;
    std::filesystem::path path_;
    bool unknown_ = false;
  };

  class Updatable final : public UpdatableFile {
   public:
    Updatable(FaultyStorage& owner, std::unique_ptr<UpdatableFile> real, std::filesystem::path path)
        : owner_(owner), real_(std::move(real)), path_(std::move(path)) {}
    ByteCount size() const override { return real_->size(); }
    void write_at(std::uint64_t offset, std::span<const std::byte> bytes) override {
      owner_.write("write", path_, bytes, [&](auto part) { real_->write_at(offset, part); });
    }
    void resize(ByteCount size) override {
      owner_.step("resize", path_);
      real_->resize(size);
    }
    void sync() override { owner_.sync(*real_, path_, unknown_); }

   private:
    FaultyStorage& owner_;
    std::unique_ptr<UpdatableFile> real_;
    std::filesystem::path path_;
    bool unknown_ = false;
  };

  template <class Write>
  void write(const std::string& what, const std::filesystem::path& path,
             std::span<const std::byte> bytes, Write&& real_write) {
    try {
      step(what, path);
    } catch (const Error&) {
      real_write(bytes.first(bytes.size() / 2));  // a full disk takes a part
      throw;
    }
    real_write(bytes);
  }

  void sync(auto& real_file, const std::filesystem::path& path, bool& unknown) {
    if (std::exchange(unknown, true)) {
      throw Error(ErrorKind::internal, "a second sync of " + path.string() + " after a failure");
    }
    step("sync", path);
    unknown = false;
    if (syncs_ == Syncs::passed_on) real_file.sync();
  }

  void step(const std::string& what, const std::filesystem::path& path) {
    log_.push_back(what + " " + path.filename().string());
    const std::size_t number = log_.size() - 1;
    const bool fails = lasting_ == Lasting::once ? number == failing_ : number >= failing_;
    if (fails) throw io_error(what + " " + path.string(), error_number_);
  }

  Storage& real_;
  std::size_t failing_;
  int error_number_;
  Syncs syncs_;
  Lasting lasting_;
  std::vector<std::string> log_;
};

}  // namespace ptrain::os
