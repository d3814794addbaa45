#include "libcommon/transfer/local_file.h"

#include <algorithm>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/sha256.h"
#include "libcommon/os/atomic_file.h"
#include "libcommon/os/read_file.h"

namespace ptrain::transfer {
namespace {

// Made durable as it comes, so that the end is not one long wait.
constexpr std::uint64_t kSyncEveryBytes = 64u << 20;

}  // namespace

LocalFile::LocalFile(os::Storage& storage, std::filesystem::path folder,
                     const ckpt::FileRecord& record, Repair repair, std::string_view writer)
    : storage_(storage),
      folder_(std::move(folder)),
      record_(record),
      repair_(repair),
      target_(folder_ / record.file.name),
      temporary_(folder_ / os::temporary_name(writer, record.file.name)),
      written_(temporary_) {}

ByteCount LocalFile::chunk_bytes(std::uint32_t chunk) const {
  const std::uint64_t begin = chunk * ckpt::kChunkBytes;
  return ByteCount(std::min(record_.file.bytes.value() - begin, ckpt::kChunkBytes));
}

std::vector<bool> LocalFile::good_chunks(const std::filesystem::path& path,
                                         const std::function<void(ByteCount)>& progress) const {
  std::vector<bool> good(record_.chunk_sha256.size(), false);
  if (!storage_.status(path)) return good;
  const auto file = os::open_regular(storage_, path);
  std::vector<std::byte> bytes(ckpt::kChunkBytes);
  for (std::uint32_t chunk = 0; chunk < good.size(); ++chunk) {
    const auto piece = std::span(bytes).first(chunk_bytes(chunk).value());
    const std::uint64_t begin = chunk * ckpt::kChunkBytes;
    if (begin + piece.size() > file->size().value()) break;
    file->read_at(begin, piece);
    good[chunk] = sha256(piece) == record_.chunk_sha256[chunk];
    progress(ByteCount(piece.size()));
  }
  return good;
}

void LocalFile::inspect(const std::function<void(ByteCount)>& progress) {
  missing_.clear();
  damaged_.clear();
  const auto status = storage_.status(target_);
  const std::vector<bool> in_target = good_chunks(target_, progress);
  const bool all_good = std::ranges::find(in_target, false) == in_target.end();
  const bool has_its_size = status && status->size == record_.file.bytes;
  whole_ = has_its_size && all_good;
  if (whole_) return;
  const bool in_place = has_its_size && repair_ == Repair::in_place;
  written_ = in_place ? target_ : temporary_;
  const std::vector<bool> in_temporary = in_place ? in_target : good_chunks(temporary_, progress);
  for (std::uint32_t chunk = 0; chunk < in_target.size(); ++chunk) {
    if (in_target[chunk] || in_temporary[chunk]) continue;
    missing_.push_back(chunk);
    if (status) damaged_.push_back(chunk);
  }
  if (!in_place) keep_good_chunks_of_target(in_target, in_temporary);
}

// The temporary file will take the target's place, so it needs what is good there.
void LocalFile::keep_good_chunks_of_target(const std::vector<bool>& in_target,
                                           const std::vector<bool>& in_temporary) {
  std::unique_ptr<os::ReadableFile> source;
  std::vector<std::byte> bytes(ckpt::kChunkBytes);
  for (std::uint32_t chunk = 0; chunk < in_target.size(); ++chunk) {
    if (!in_target[chunk] || in_temporary[chunk]) continue;
    if (!source) source = os::open_regular(storage_, target_);
    const auto piece = std::span(bytes).first(chunk_bytes(chunk).value());
    source->read_at(chunk * ckpt::kChunkBytes, piece);
    write(chunk, piece);
  }
}

os::UpdatableFile& LocalFile::file() {
  if (!file_) file_ = storage_.open_for_update(written_);
  return *file_;
}

void LocalFile::write(std::uint32_t chunk, std::span<const std::byte> bytes) {
  file().write_at(chunk * ckpt::kChunkBytes, bytes);
  std::erase(missing_, chunk);
  unsynced_bytes_ += bytes.size();
  if (unsynced_bytes_ < kSyncEveryBytes) return;
  file().sync();
  unsynced_bytes_ = 0;
}

void LocalFile::finish() {
  if (!missing_.empty()) {
    throw Error(ErrorKind::internal,
                fmt::format("finish {}: {} chunks are missing", target_.string(), missing_.size()));
  }
  if (whole_) {
    storage_.remove(temporary_);  // of a fetch that was finished by other means
    return;
  }
  if (file().size() != record_.file.bytes) file().resize(record_.file.bytes);
  file().sync();
  file_.reset();
  if (written_ != target_) storage_.rename(written_, target_);
  storage_.sync_directory(folder_);
}

}  // namespace ptrain::transfer
