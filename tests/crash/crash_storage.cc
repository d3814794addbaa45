#include "tests/crash/crash_storage.h"

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "libcommon/base/error.h"

namespace ptrain::crash {

namespace fs = std::filesystem;

// What the open files share. The descriptor belongs to the file, whatever its name becomes.
class CrashStorage::File {
 public:
  File(CrashStorage& storage, Node node, fs::path path)
      : storage_(storage), node_(node), path_(std::move(path)) {}

  ByteCount size() const {
    const std::lock_guard lock(storage_.mutex_);
    return ByteCount(storage_.disk_.contents(node_)->bytes.size());
  }
  void write(std::uint64_t offset, std::span<const std::byte> bytes) {
    storage_.change_file(
        node_, Write{offset, {bytes.begin(), bytes.end()}},
        fmt::format("write {} bytes at {} of {}", bytes.size(), offset, path_.string()));
  }
  void resize(ByteCount size) {
    storage_.change_file(node_, Resize{size.value()},
                         fmt::format("resize {} to {}", path_.string(), size.value()));
  }
  void sync() { storage_.sync_node(node_, "sync " + path_.string()); }

 private:
  CrashStorage& storage_;
  Node node_;
  fs::path path_;
};

class CrashStorage::Writable final : public os::WritableFile {
 public:
  explicit Writable(File file) : file_(std::move(file)) {}
  void append(std::span<const std::byte> bytes) override {
    file_.write(offset_, bytes);
    offset_ += bytes.size();
  }
  void sync() override { file_.sync(); }

 private:
  File file_;
  std::uint64_t offset_ = 0;
};

class CrashStorage::Updatable final : public os::UpdatableFile {
 public:
  explicit Updatable(File file) : file_(std::move(file)) {}
  ByteCount size() const override { return file_.size(); }
  void write_at(std::uint64_t offset, std::span<const std::byte> bytes) override {
    file_.write(offset, bytes);
  }
  void resize(ByteCount size) override { file_.resize(size); }
  void sync() override { file_.sync(); }

 private:
  File file_;
};

class CrashStorage::Readable final : public os::ReadableFile {
 public:
  Readable(const CrashStorage& storage, Node node, fs::path path)
      : storage_(storage), node_(node), path_(std::move(path)) {}
  ByteCount size() const override { return ByteCount(contents()->bytes.size()); }
  void read_at(std::uint64_t offset, std::span<std::byte> out) const override {
    const Contents now = contents();
    if (offset > now->bytes.size() || now->bytes.size() - offset < out.size()) {
      throw Error(ErrorKind::io,
                  fmt::format("read {} bytes at offset {} of {}: the file ends before", out.size(),
                              offset, path_.string()));
    }
    std::copy_n(now->bytes.begin() + static_cast<std::ptrdiff_t>(offset), out.size(), out.begin());
  }

 private:
  Contents contents() const {
    const std::lock_guard lock(storage_.mutex_);
    return storage_.disk_.contents(node_);
  }
  const CrashStorage& storage_;
  Node node_;
  fs::path path_;
};

CrashStorage::CrashStorage(const DiskImage& image, Observer after_each)
    : disk_(image), after_each_(std::move(after_each)) {}

DiskModel CrashStorage::model() const {
  const std::lock_guard lock(mutex_);
  return disk_;
}

std::optional<CrashStorage::Node> CrashStorage::find(const fs::path& path) const {
  Node node = DiskModel::kRoot;
  for (const fs::path& name : path.lexically_normal().relative_path()) {
    if (name.empty()) continue;  // after a slash at the end
    if (!disk_.is_directory(node)) return std::nullopt;
    const auto next = disk_.find(node, name.string());
    if (!next) return std::nullopt;
    node = *next;
  }
  return node;
}

CrashStorage::Node CrashStorage::parent_of(const fs::path& path, const char* attempt) const {
  const auto parent = find(path.parent_path());
  if (!parent) throw io_error(fmt::format("{} {}", attempt, path.string()), ENOENT);
  if (!disk_.is_directory(*parent)) {
    throw io_error(fmt::format("{} {}", attempt, path.string()), ENOTDIR);
  }
  return *parent;
}

void CrashStorage::observe(const std::string& operation) {
  if (after_each_) after_each_(disk_, operation);
}

void CrashStorage::change_file(Node file, FileChange change, const std::string& operation) {
  const std::lock_guard lock(mutex_);
  disk_.change(file, std::move(change));
  observe(operation);
}

void CrashStorage::sync_node(Node file, const std::string& operation) {
  const std::lock_guard lock(mutex_);
  disk_.sync_file(file);
  observe(operation);
}

std::unique_ptr<os::WritableFile> CrashStorage::create(const fs::path& path) {
  const std::lock_guard lock(mutex_);
  const Node parent = parent_of(path, "create");
  auto file = find(path);
  if (file && disk_.is_directory(*file)) throw io_error("create " + path.string(), EISDIR);
  if (file) {
    disk_.change(*file, Resize{0});  // the file that is there is cut off, as O_TRUNC does
  } else {
    file = disk_.make_file(parent, path.filename().string());
  }
  observe("create " + path.string());
  return std::make_unique<Writable>(File(*this, *file, path));
}

std::unique_ptr<os::UpdatableFile> CrashStorage::open_for_update(const fs::path& path) {
  const std::lock_guard lock(mutex_);
  const Node parent = parent_of(path, "open for update");
  auto file = find(path);
  if (file && disk_.is_directory(*file)) throw io_error("open for update " + path.string(), EISDIR);
  if (!file) {
    file = disk_.make_file(parent, path.filename().string());
    observe("create " + path.string());
  }
  return std::make_unique<Updatable>(File(*this, *file, path));
}

std::unique_ptr<os::ReadableFile> CrashStorage::open(const fs::path& path) {
  const std::lock_guard lock(mutex_);
  const auto file = find(path);
  if (!file) throw io_error("open " + path.string(), ENOENT);
  if (disk_.is_directory(*file)) {
    throw Error(ErrorKind::io, "open " + path.string() + ": not a regular file");
  }
  return std::make_unique<Readable>(*this, *file, path);
}

std::optional<os::FileStatus> CrashStorage::status(const fs::path& path) {
  const std::lock_guard lock(mutex_);
  const auto node = find(path);
  if (!node) return std::nullopt;
  if (disk_.is_directory(*node)) return os::FileStatus{os::FileKind::directory, {}, {}};
  return os::FileStatus{os::FileKind::regular, ByteCount(disk_.contents(*node)->bytes.size()), {}};
}

std::vector<std::string> CrashStorage::list(const fs::path& directory) {
  const std::lock_guard lock(mutex_);
  const auto node = find(directory);
  if (!node) return {};
  if (!disk_.is_directory(*node)) throw io_error("list " + directory.string(), ENOTDIR);
  std::vector<std::string> names;
  for (const auto& [name, entry] : disk_.entries(*node)) names.push_back(name);
  return names;
}

void CrashStorage::rename(const fs::path& from, const fs::path& to) {
  const std::lock_guard lock(mutex_);
  const std::string operation = fmt::format("rename {} to {}", from.string(), to.string());
  const auto node = find(from);
  if (!node) throw io_error(operation, ENOENT);
  const auto replaced = find(to);
  if (replaced && disk_.is_directory(*replaced)) throw io_error(operation, EEXIST);
  disk_.rename(parent_of(from, "rename"), from.filename().string(), parent_of(to, "rename to"),
               to.filename().string());
  observe(operation);
}

bool CrashStorage::remove(const fs::path& path) {
  const std::lock_guard lock(mutex_);
  const auto node = find(path);
  if (!node) return false;
  if (disk_.is_directory(*node) && !disk_.entries(*node).empty()) {
    throw io_error("remove " + path.string(), ENOTEMPTY);
  }
  disk_.remove(parent_of(path, "remove"), path.filename().string());
  observe("remove " + path.string());
  return true;
}

bool CrashStorage::create_directory(const fs::path& path) {
  const std::lock_guard lock(mutex_);
  if (const auto node = find(path)) {
    if (disk_.is_directory(*node)) return false;
    throw io_error("create directory " + path.string(), EEXIST);
  }
  disk_.make_directory(parent_of(path, "create directory"), path.filename().string());
  observe("create directory " + path.string());
  return true;
}

void CrashStorage::sync_file(const fs::path& path) {
  const std::lock_guard lock(mutex_);
  const auto node = find(path);
  if (!node) throw io_error("open " + path.string(), ENOENT);
  disk_.sync_file(*node);
  observe("sync " + path.string());
}

void CrashStorage::sync_directory(const fs::path& path) {
  const std::lock_guard lock(mutex_);
  const auto node = find(path);
  if (!node) throw io_error("open directory " + path.string(), ENOENT);
  if (!disk_.is_directory(*node)) throw io_error("open directory " + path.string(), ENOTDIR);
  disk_.sync_directory(*node);
  observe("sync directory " + path.string());
}

}  // namespace ptrain::crash
