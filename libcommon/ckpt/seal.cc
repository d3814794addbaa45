#include "libcommon/ckpt/seal.h"

#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/ckpt/shard_reader.h"
#include "libcommon/ckpt/tokenizer_file.h"

namespace ptrain::ckpt {
namespace {

namespace fs = std::filesystem;

// The records that lie in the folder under a record's name, whichever stages they are of: one
// that is left from another cut must be seen to disagree.
std::vector<StageRecord> read_records(os::Storage& storage, const CheckpointStore& store,
                                      Step step) {
  std::vector<StageRecord> records;
  for (const std::string& name : storage.list(store.step_directory(step))) {
    const auto stage = stage_of_record(name);
    if (stage) records.push_back(store.read_record(step, *stage));
  }
  return records;
}

std::optional<Manifest> standing_manifest(os::Storage& storage, const CheckpointStore& store,
                                          Step step) {
  if (!storage.status(store.step_directory(step) / kManifestName)) return std::nullopt;
  try {
    return store.read_manifest(step);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::corrupt) throw;
    return std::nullopt;
  }
}

void require_file(os::Storage& storage, const fs::path& folder, const FileRecord& file) {
  if (storage.status(folder / file.file.name)) return;
  throw Error(ErrorKind::corrupt,
              fmt::format("{}: {} is not here", folder.string(), file.file.name));
}

void check_tokenizer(os::Storage& storage, const fs::path& folder, const FileRecord& file) {
  require_file(storage, folder, file);
  read_tokenizer(storage, folder, file);
}

void check_data(os::Storage& storage, const fs::path& folder, const FileRecord& file,
                const Progress& progress) {
  require_file(storage, folder, file);
  const ShardReader shard(storage, folder / file.file.name, file, "");
  for (std::size_t chunk = 0; chunk < file.chunk_sha256.size(); ++chunk) {
    shard.check_chunk(chunk, progress);
  }
}

}  // namespace

Sealed seal_step(os::Storage& storage, CheckpointStore& store, Step step,
                 const Progress& progress) {
  const fs::path folder = store.step_directory(step);
  const std::vector<StageRecord> records = read_records(storage, store, step);
  const auto standing = standing_manifest(storage, store, step);
  Manifest manifest;
  try {
    manifest = make_manifest(records);
  } catch (const Error& error) {
    throw Error(error.kind(), folder.string() + ": " + error.what(),
                "bring the files of all stages of one save together with ptrain-ckpt merge");
  }
  if (standing && *standing != manifest) {
    throw Error(
        ErrorKind::corrupt,
        fmt::format("{}: the manifest there has the id {}, its records give {}", folder.string(),
                    checkpoint_id(*standing).hex(), checkpoint_id(manifest).hex()),
        "ptrain-ckpt verify says which of the records is not the manifest's");
  }
  for (const StageRecord& record : records) {
    check_data(storage, folder, record.model, progress);
    if (record.optim) check_data(storage, folder, *record.optim, progress);
    if (record.tokenizer) check_tokenizer(storage, folder, *record.tokenizer);
  }
  store.sync_files(manifest);
  if (standing) return {checkpoint_id(*standing), true};
  return {store.write_manifest(manifest), false};
}

}  // namespace ptrain::ckpt
