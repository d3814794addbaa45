#include "tools/stage/engine/stage_share.h"

#include <fmt/format.h>

#include "libcommon/base/error.h"

namespace ptrain::stage {
namespace {

bool is_here(os::Storage& storage, const std::filesystem::path& folder,
             const ckpt::FileDigest& file) {
  const auto status = storage.status(folder / file.name);
  return status && status->kind == os::FileKind::regular && status->size == file.bytes;
}

bool is_of(const ckpt::StageRecord& record, const ShareHolder& holder) {
  return record.stage_count == holder.stages && record.span == holder.span &&
         record.run.resume_hash == holder.resume_hash &&
         (holder.data_fingerprint.empty() ||
          record.run.data_fingerprint == holder.data_fingerprint);
}

}  // namespace

std::string name_of_run(const std::string& job_hash, const std::string& data_fingerprint) {
  return fmt::format("{}-{}", job_hash, data_fingerprint);
}

std::optional<std::string> run_of_share(os::Storage& storage, const ckpt::CheckpointStore& store,
                                        Step step, const ShareHolder& holder) {
  const std::filesystem::path folder = store.step_directory(step);
  const auto status = storage.status(folder);
  if (!status || status->kind != os::FileKind::directory) return std::nullopt;
  if (!storage.status(folder / ckpt::record_file_name(holder.stage))) return std::nullopt;
  try {
    const ckpt::StageRecord record = store.read_record(step, holder.stage);
    const bool whole = record.optim && is_here(storage, folder, record.model.file) &&
                       is_here(storage, folder, record.optim->file);
    if (!whole || !is_of(record, holder)) return std::nullopt;
    return name_of_run(record.run.job_hash, record.run.data_fingerprint);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::corrupt) throw;
    return std::nullopt;
  }
}

}  // namespace ptrain::stage
