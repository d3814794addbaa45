#include "libcommon/transfer/complete_step.h"

#include "libcommon/os/atomic_file.h"

namespace ptrain::transfer {

void complete_step(os::Storage& storage, ckpt::CheckpointStore& store,
                   const ckpt::Manifest& manifest,
                   const std::map<StageIndex, ckpt::StageRecord>& records,
                   std::span<LocalFile* const> files) {
  const auto folder = store.step_directory(manifest.run.step);
  for (LocalFile* file : files) file->finish();
  for (const auto& [stage, record] : records) {
    const std::string text = ckpt::canonical_json(record);
    os::write_file_durably(storage, folder / ckpt::record_file_name(stage), store.writer(),
                           std::as_bytes(std::span(text)));
  }
  store.sync_files(manifest);
  store.write_manifest(manifest);
}

}  // namespace ptrain::transfer
