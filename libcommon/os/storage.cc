#include "libcommon/os/storage.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libcommon/base/error.h"
#include "libcommon/os/file_descriptor.h"

namespace ptrain::os {
namespace {

namespace fs = std::filesystem;

Error write_error(const fs::path& path, std::size_t wanted, std::uint64_t offset,
                  int error_number) {
  const bool full = error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG;
  return io_error(fmt::format("write {} bytes at offset {} of {}", wanted, offset, path.string()),
                  error_number, full ? "free space in " + path.parent_path().string() : "");
}

void fsync_or_throw(const FileDescriptor& file, const fs::path& path, std::uint64_t size) {
  if (::fsync(file.get()) != 0) {
    throw io_error(fmt::format("fsync {} ({} bytes)", path.string(), size), errno);
  }
}

// The kernel begins to write what was appended once so much has come together, so that the
// disk works while the program does, and fsync finds little left to do.
constexpr std::uint64_t kWritebackBytes = 8 << 20;

class PosixWritableFile final : public WritableFile {
 public:
  PosixWritableFile(FileDescriptor file, fs::path path)
      : file_(std::move(file)), path_(std::move(path)) {}

  void append(std::span<const std::byte> bytes) override {
    while (!bytes.empty()) {
      const ssize_t written = ::write(file_.get(), bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) throw write_error(path_, bytes.size(), offset_, errno);
      bytes = bytes.subspan(static_cast<std::size_t>(written));
      offset_ += static_cast<std::uint64_t>(written);
    }
    begin_writeback();
  }

  void sync() override { fsync_or_throw(file_, path_, offset_); }

 private:
  // Advice: what goes wrong with the disk is fsync's to report.
  void begin_writeback() {
    const std::uint64_t fresh_bytes = offset_ - handed_over_;
    if (fresh_bytes < kWritebackBytes) return;
    ::sync_file_range(file_.get(), static_cast<off_t>(handed_over_),
                      static_cast<off_t>(fresh_bytes), SYNC_FILE_RANGE_WRITE);
    handed_over_ = offset_;
  }

  FileDescriptor file_;
  fs::path path_;
  std::uint64_t offset_ = 0;
  std::uint64_t handed_over_ = 0;  // to the disk, by begin_writeback()
};

class PosixUpdatableFile final : public UpdatableFile {
 public:
  PosixUpdatableFile(FileDescriptor file, fs::path path, ByteCount size)
      : file_(std::move(file)), path_(std::move(path)), size_(size) {}

  ByteCount size() const override { return size_; }

  void write_at(std::uint64_t offset, std::span<const std::byte> bytes) override {
    while (!bytes.empty()) {
      const ssize_t written =
          ::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) throw write_error(path_, bytes.size(), offset, errno);
      bytes = bytes.subspan(static_cast<std::size_t>(written));
      offset += static_cast<std::uint64_t>(written);
      size_ = std::max(size_, ByteCount(offset));
    }
  }

  void resize(ByteCount size) override {
    while (::ftruncate(file_.get(), static_cast<off_t>(size.value())) != 0) {
      if (errno == EINTR) continue;
      throw io_error(
          fmt::format("resize {} from {} to {} bytes", path_.string(), size_.value(), size.value()),
          errno);
    }
    size_ = size;
  }

  void sync() override { fsync_or_throw(file_, path_, size_.value()); }

 private:
  FileDescriptor file_;
  fs::path path_;
  ByteCount size_;
};

class PosixReadableFile final : public ReadableFile {
 public:
  PosixReadableFile(FileDescriptor file, fs::path path, ByteCount size)
      : file_(std::move(file)), path_(std::move(path)), size_(size) {}

  ByteCount size() const override { return size_; }

  void read_at(std::uint64_t offset, std::span<std::byte> out) const override {
    while (!out.empty()) {
      const ssize_t got = ::pread(file_.get(), out.data(), out.size(), static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      const auto attempt = [&] {
        return fmt::format("read {} bytes at offset {} of {}", out.size(), offset, path_.string());
      };
      if (got < 0) throw io_error(attempt(), errno);
      if (got == 0) throw Error(ErrorKind::io, attempt() + ": the file ends before");
      out = out.subspan(static_cast<std::size_t>(got));
      offset += static_cast<std::uint64_t>(got);
    }
  }

 private:
  FileDescriptor file_;
  fs::path path_;
  ByteCount size_;
};

FileDescriptor open_or_throw(const fs::path& path, int flags, const char* attempt) {
  FileDescriptor file(::open(path.c_str(), flags | O_CLOEXEC, 0666));
  if (!file.valid()) throw io_error(fmt::format("{} {}", attempt, path.string()), errno);
  return file;
}

ByteCount size_of_regular(const FileDescriptor& file, const fs::path& path) {
  struct stat found {};
  if (::fstat(file.get(), &found) != 0) throw io_error("stat " + path.string(), errno);
  if (!S_ISREG(found.st_mode)) {
    throw Error(ErrorKind::io, "open " + path.string() + ": not a regular file");
  }
  return ByteCount(static_cast<std::uint64_t>(found.st_size));
}

bool cannot_sync_directories(int error_number) {
  return error_number == EINVAL || error_number == ENOTSUP || error_number == ENOSYS;
}

bool absent(int error_number) { return error_number == ENOENT || error_number == ENOTDIR; }

// `result` is that of the call that filled `found`, made a moment ago.
std::optional<FileStatus> status_of(const fs::path& path, int result, const struct stat& found) {
  if (result != 0) {
    if (absent(errno)) return std::nullopt;
    throw io_error("stat " + path.string(), errno);
  }
  FileStatus status;
  status.kind = S_ISREG(found.st_mode)   ? FileKind::regular
                : S_ISDIR(found.st_mode) ? FileKind::directory
                : S_ISLNK(found.st_mode) ? FileKind::link
                                         : FileKind::other;
  status.size = ByteCount(static_cast<std::uint64_t>(found.st_size));
  const auto since_epoch =
      std::chrono::seconds(found.st_mtim.tv_sec) + std::chrono::nanoseconds(found.st_mtim.tv_nsec);
  status.modified = std::chrono::system_clock::time_point(since_epoch);
  return status;
}

}  // namespace

std::unique_ptr<WritableFile> PosixStorage::create(const fs::path& path) {
  return std::make_unique<PosixWritableFile>(
      open_or_throw(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, "create"), path);
}

std::unique_ptr<UpdatableFile> PosixStorage::open_for_update(const fs::path& path) {
  FileDescriptor file =
      open_or_throw(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, "open for update");
  const ByteCount size = size_of_regular(file, path);
  return std::make_unique<PosixUpdatableFile>(std::move(file), path, size);
}

std::unique_ptr<ReadableFile> PosixStorage::open(const fs::path& path) {
  // O_NONBLOCK: a pipe under a file's name must be an error, not a wait without end.
  FileDescriptor file = open_or_throw(path, O_RDONLY | O_NONBLOCK, "open");
  const ByteCount size = size_of_regular(file, path);
  return std::make_unique<PosixReadableFile>(std::move(file), path, size);
}

std::optional<FileStatus> PosixStorage::status(const fs::path& path) {
  struct stat found {};
  return status_of(path, ::lstat(path.c_str(), &found), found);
}

std::optional<FileStatus> PosixStorage::followed_status(const fs::path& path) {
  struct stat found {};
  return status_of(path, ::stat(path.c_str(), &found), found);
}

std::vector<std::string> PosixStorage::list(const fs::path& directory) {
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(directory.c_str()), &::closedir);
  if (!stream) {
    if (errno == ENOENT) return {};
    throw io_error("list " + directory.string(), errno);
  }
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  if (errno != 0) throw io_error("list " + directory.string(), errno);
  std::ranges::sort(names);
  return names;
}

void PosixStorage::rename(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    throw io_error(fmt::format("rename {} to {}", from.string(), to.string()), errno);
  }
}

bool PosixStorage::remove(const fs::path& path) {
  if (std::remove(path.c_str()) == 0) return true;
  if (absent(errno)) return false;
  throw io_error("remove " + path.string(), errno);
}

bool PosixStorage::create_directory(const fs::path& path) {
  if (::mkdir(path.c_str(), 0777) == 0) return true;
  const int error_number = errno;
  if (error_number == EEXIST && fs::is_directory(path)) return false;
  throw io_error("create directory " + path.string(), error_number);
}

void PosixStorage::sync_file(const fs::path& path) {
  const FileDescriptor file = open_or_throw(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, "open");
  fsync_or_throw(file, path, size_of_regular(file, path).value());
}

void PosixStorage::sync_directory(const fs::path& path) {
  const FileDescriptor directory = open_or_throw(path, O_RDONLY | O_DIRECTORY, "open directory");
  if (::fsync(directory.get()) == 0) return;
  if (!cannot_sync_directories(errno)) {
    throw io_error("fsync directory " + path.string(), errno);
  }
  // Some network and shared file systems know fsync of files alone. Their entries then are as
  // durable as a sync of the whole file system makes them, where there is one.
  ::syncfs(directory.get());
  warn_once(path);
}

void PosixStorage::warn_once(const fs::path& path) {
  if (log_ == nullptr || warned_.exchange(true)) return;
  log_->warning(
      fmt::format("the disk of {} cannot fsync a directory: after a power failure the newest "
                  "files there may be missing",
                  path.string()));
}

}  // namespace ptrain::os
