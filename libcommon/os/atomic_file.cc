#include "libcommon/os/atomic_file.h"

#include <fmt/format.h>

#include "libcommon/base/error.h"

namespace ptrain::os {
namespace {

namespace fs = std::filesystem;

fs::path parent_of(const fs::path& path) {
  const fs::path parent = path.parent_path();
  return parent.empty() ? fs::path(".") : parent;
}

}  // namespace

std::string temporary_name(std::string_view writer, std::string_view name) {
  return fmt::format("{}{}.{}", kTemporaryPrefix, writer, name);
}

AtomicFile::AtomicFile(Storage& storage, fs::path target, std::string_view writer)
    : storage_(storage),
      target_(std::move(target)),
      temporary_(parent_of(target_) / temporary_name(writer, target_.filename().string())),
      file_(storage_.create(temporary_)) {}

AtomicFile::~AtomicFile() {
  if (temporary_.empty()) return;
  file_.reset();
  try {
    storage_.remove(temporary_);
  } catch (const Error&) {
    // The error that brought us here says more; the next save of this writer clears the file.
  }
}

void AtomicFile::append(std::span<const std::byte> bytes) {
  file_->append(bytes);
  size_ = ByteCount(size_.value() + bytes.size());
}

void AtomicFile::commit() {
  file_->sync();
  file_.reset();
  storage_.rename(temporary_, target_);
  temporary_.clear();
  storage_.sync_directory(parent_of(target_));
}

void write_file_durably(Storage& storage, const fs::path& target, std::string_view writer,
                        std::span<const std::byte> bytes) {
  AtomicFile file(storage, target, writer);
  file.append(bytes);
  file.commit();
}

void create_directories_durably(Storage& storage, const fs::path& path) {
  const fs::path parent = parent_of(path);
  if (parent != path && !storage.status(parent)) create_directories_durably(storage, parent);
  storage.create_directory(path);
  // Even where the directory was there: another process may have made it a moment ago.
  storage.sync_directory(parent);
}

}  // namespace ptrain::os
