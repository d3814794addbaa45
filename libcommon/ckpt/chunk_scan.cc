#include "libcommon/ckpt/chunk_scan.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>

#include "libcommon/ckpt/chunk.h"

namespace ptrain::ckpt {
namespace {

class Scan {
 public:
  explicit Scan(const std::vector<ScannedFile>& files) : files_(files) {
    for (std::size_t file = 0; file < files.size(); ++file) {
      for (std::size_t chunk = 0; chunk < files[file].record.chunk_sha256.size(); ++chunk) {
        places_.push_back({file, chunk});
      }
    }
  }

  // One thread's share: takes chunk after chunk until there are none or someone has failed.
  void work(const Progress& progress) noexcept {
    try {
      std::uint64_t longest = 1;
      for (const ScannedFile& file : files_) {
        longest = std::max(longest, file.record.file.bytes.value());
      }
      std::vector<std::byte> buffer(std::min<std::uint64_t>(kPieceBytes, longest));
      for (std::size_t i = next_++; i < places_.size() && !stopped_; i = next_++) {
        const ScannedFile& file = files_[places_[i].file];
        if (chunk_is_whole(*file.file, file.record, places_[i].chunk, buffer, progress)) continue;
        const std::lock_guard lock(mutex_);
        bad_.push_back(places_[i]);
      }
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!error_) error_ = std::current_exception();
      stopped_ = true;
    }
  }

  // After all threads have ended.
  std::vector<ChunkPlace> result() {
    if (error_) std::rethrow_exception(error_);
    std::ranges::sort(bad_);
    return std::move(bad_);
  }

 private:
  const std::vector<ScannedFile>& files_;
  std::vector<ChunkPlace> places_;
  std::atomic<std::size_t> next_ = 0;
  std::atomic<bool> stopped_ = false;
  std::mutex mutex_;
  std::vector<ChunkPlace> bad_;
  std::exception_ptr error_;
};

}  // namespace

std::vector<ChunkPlace> find_bad_chunks(const std::vector<ScannedFile>& files, std::size_t threads,
                                        const Progress& progress) {
  Scan scan(files);
  std::atomic<std::uint64_t> others_bytes = 0;
  std::uint64_t told = 0;  // of others_bytes
  {
    std::vector<std::jthread> others;
    for (std::size_t i = 1; i < threads; ++i) {
      others.emplace_back(
          [&] { scan.work([&](ByteCount bytes) { others_bytes += bytes.value(); }); });
    }
    scan.work([&](ByteCount bytes) {
      if (!progress) return;
      const std::uint64_t theirs = others_bytes;
      progress(ByteCount(bytes.value() + theirs - told));
      told = theirs;
    });
  }
  std::vector<ChunkPlace> bad = scan.result();
  if (progress && others_bytes > told) progress(ByteCount(others_bytes - told));
  return bad;
}

}  // namespace ptrain::ckpt
