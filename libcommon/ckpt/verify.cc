#include "libcommon/ckpt/verify.h"

#include <algorithm>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/ckpt/chunk_scan.h"
#include "libcommon/ckpt/shard_reader.h"
#include "libcommon/ckpt/store.h"
#include "libcommon/os/read_file.h"
#include "libcommon/os/share_of_machine.h"

namespace ptrain::ckpt {
namespace {

namespace fs = std::filesystem;

class Verifier {
 public:
  Verifier(os::Storage& storage, const fs::path& folder) : storage_(storage), folder_(folder) {
    const fs::path path = folder_ / kManifestName;
    result_.manifest =
        parse_manifest(os::read_file(storage_, path, kMaxManifestBytes), path.string());
    result_.id = checkpoint_id(result_.manifest);
    const auto named = step_from_name(folder_.filename().string());
    if (named && *named != result_.manifest.run.step) {
      throw Error(ErrorKind::corrupt, fmt::format("{}: is the manifest of step {}", path.string(),
                                                  result_.manifest.run.step.value()));
    }
  }

  void check_structure() {
    for (std::uint32_t i = 0; i < result_.manifest.stages.size(); ++i) {
      check_stage(StageIndex(i));
    }
    if (records_.size() == result_.manifest.stages.size()) check_derivation();
  }

  void check_data(std::size_t threads, const Progress& progress) {
    const Progress count = [&](ByteCount bytes) {
      result_.checked = ByteCount(result_.checked.value() + bytes.value());
      if (progress) progress(bytes);
    };
    for (const ChunkPlace& place : find_bad_chunks(scanned_, threads, count)) {
      const FileRecord& record = scanned_[place.file].record;
      const ByteRange range = chunk_range(record, place.chunk);
      std::vector<std::string> tensors = tensors_in(record, range);
      std::string reason = fmt::format("chunk {} (bytes {} to {}) is damaged, in {}", place.chunk,
                                       range.begin, range.end, fmt::join(tensors, ", "));
      result_.damage.push_back(
          {record.file.name, std::move(reason), BadChunk{place.chunk, range, std::move(tensors)}});
    }
    for (const FileDigest& file : undescribed_) check_whole(file, count);
  }

  Verification take() {
    for (std::uint32_t i = 0; i < result_.manifest.stages.size(); ++i) {
      if (is_held(result_.manifest.stages[i])) result_.held.emplace_back(i);
    }
    return std::move(result_);
  }

 private:
  void damaged(const std::string& file, std::string reason) {
    result_.damage.push_back({file, std::move(reason), std::nullopt});
  }

  bool is_held(const ManifestStage& stage) const {
    const auto all = files(stage);
    return std::ranges::none_of(all, [this](const FileDigest& file) {
      return std::ranges::find(result_.missing, file.name) != result_.missing.end() ||
             std::ranges::find(result_.damage, file.name, &Damage::file) != result_.damage.end();
    });
  }

  // Runs a check that throws Error(corrupt), and notes what it threw.
  template <class Check>
  bool passes(const std::string& file, Check&& check) {
    try {
      check();
      return true;
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::corrupt) throw;
      std::string_view reason = error.what();
      const std::string place = (folder_ / file).string() + ": ";
      if (reason.starts_with(place)) reason.remove_prefix(place.size());  // said once is enough
      damaged(file, std::string(reason));
      return false;
    }
  }

  // Whether the file is here as a regular file of its size; notes it where it is not.
  bool is_here(const FileDigest& file) {
    const auto status = storage_.status(folder_ / file.name);
    if (!status) {
      result_.missing.push_back(file.name);
    } else if (status->kind != os::FileKind::regular) {
      damaged(file.name, "not a regular file");
    } else if (status->size != file.bytes) {
      damaged(file.name, fmt::format("{} bytes, the manifest says {}", status->size.value(),
                                     file.bytes.value()));
    } else {
      return true;
    }
    return false;
  }

  void check_stage(StageIndex index) {
    const ManifestStage& stage = result_.manifest.stages[index.value()];
    const bool described = is_here(stage.record) && passes(stage.record.name, [&] {
                             records_.push_back(read_record(stage.record, index));
                           });
    check_file(stage.model, described ? &records_.back().model : nullptr);
    if (stage.optim) check_file(*stage.optim, described ? &*records_.back().optim : nullptr);
    if (stage.tokenizer && is_here(*stage.tokenizer)) undescribed_.push_back(*stage.tokenizer);
  }

  StageRecord read_record(const FileDigest& file, StageIndex stage) {
    const fs::path path = folder_ / file.name;
    const std::string text = os::read_file(storage_, path, kMaxRecordBytes);
    if (sha256(text) != file.sha256) {
      throw Error(ErrorKind::corrupt, "does not have the SHA-256 that the manifest gives");
    }
    StageRecord record = parse_record(text, path.string());
    if (const auto problem = contradiction(result_.manifest, stage, record)) {
      throw Error(ErrorKind::corrupt, *problem);
    }
    return record;
  }

  void check_file(const FileDigest& file, const FileRecord* record) {
    if (!is_here(file)) return;
    if (record == nullptr) {
      undescribed_.push_back(file);
      return;
    }
    // A bad header lies in a bad chunk, so data are looked at all the same.
    passes(file.name, [&] { ShardReader(storage_, folder_ / file.name, *record, ""); });
    scanned_.push_back({os::open_regular(storage_, folder_ / file.name), *record});
  }

  void check_derivation() {
    passes(std::string(kManifestName), [&] {
      if (make_manifest(records_) == result_.manifest) return;
      throw Error(ErrorKind::corrupt, "does not follow from its records");
    });
  }

  // A tokenizer, or a file whose record is damaged: its hash is in the manifest.
  void check_whole(const FileDigest& digest, const Progress& progress) {
    const auto file = os::open_regular(storage_, folder_ / digest.name);
    std::vector<std::byte> buffer(std::min<std::uint64_t>(kPieceBytes, digest.bytes.value()));
    Sha256 hash;
    for (std::uint64_t at = 0; at < digest.bytes.value();) {
      const auto piece = std::span(buffer).first(
          std::min<std::uint64_t>(buffer.size(), digest.bytes.value() - at));
      file->read_at(at, piece);
      hash.update(piece);
      at += piece.size();
      progress(ByteCount(piece.size()));
    }
    if (hash.digest() != digest.sha256) {
      damaged(digest.name, "does not have the SHA-256 that the manifest gives");
    }
  }

  os::Storage& storage_;
  fs::path folder_;
  Verification result_;
  std::vector<StageRecord> records_;     // the valid ones, in order
  std::vector<ScannedFile> scanned_;     // files of the right size, with a valid record
  std::vector<FileDigest> undescribed_;  // files of the right size, without one; a tokenizer
};

std::size_t thread_count(std::size_t wanted) {
  if (wanted == 0) wanted = static_cast<std::size_t>(os::read_share_of_machine().threads());
  return std::min(wanted, kMaxVerifyThreads);
}

}  // namespace

Verification verify_step(os::Storage& storage, const fs::path& step_directory,
                         const VerifyOptions& options) {
  Verifier verifier(storage, step_directory);
  verifier.check_structure();
  if (options.thoroughness == Thoroughness::data) {
    verifier.check_data(thread_count(options.threads), options.progress);
  }
  return verifier.take();
}

}  // namespace ptrain::ckpt
