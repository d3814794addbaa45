#include "libcommon/ckpt/merge.h"

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/ckpt/run_difference.h"
#include "libcommon/ckpt/shard_reader.h"
#include "libcommon/ckpt/stage_layout.h"
#include "libcommon/ckpt/tokenizer_file.h"

namespace ptrain::ckpt {
namespace {

namespace fs = std::filesystem;

constexpr const char* kHint = "fetch that stage again, or name the folder of a host that has it";

std::vector<FileRecord> tensor_files(const StageRecord& record) {
  std::vector<FileRecord> files{record.model};
  if (record.optim) files.push_back(*record.optim);
  return files;
}

bool has_files(os::Storage& storage, const StageSource& source) {
  for (const FileRecord& file : described_files(source.record)) {
    const auto status = storage.status(source.folder / file.file.name);
    if (!status || status->kind != os::FileKind::regular || status->size != file.file.bytes) {
      return false;
    }
  }
  return true;
}

// Sources of one step must be of one save, whether they are used or not.
void check_agreement(const StageSource& one, const StageSource& other) {
  const auto refuse = [&](const std::string& field, const std::string& left,
                          const std::string& right) {
    throw Error(ErrorKind::corrupt,
                fmt::format("{} is {} in {}, {} in {}", field, left,
                            (one.folder / record_file_name(one.record.stage)).string(), right,
                            (other.folder / record_file_name(other.record.stage)).string()),
                "these are not of one save: name the folders of one run");
  };
  if (const auto found = first_difference(one.record.run, other.record.run)) {
    refuse(found->field, found->left, found->right);
  }
  if (one.record.stage_count != other.record.stage_count) {
    refuse("stage_count", std::to_string(one.record.stage_count),
           std::to_string(other.record.stage_count));
  }
  if (one.record.stage == other.record.stage && one.record != other.record) {
    refuse("the model file's SHA-256", to_hex(one.record.model.file.sha256),
           to_hex(other.record.model.file.sha256));
  }
}

std::vector<StageSource> all_sources(os::Storage& storage, std::span<const fs::path> directories,
                                     Step step) {
  std::vector<StageSource> sources;
  for (const fs::path& directory : directories) {
    const CheckpointStore store(storage, directory, "merge");
    const fs::path folder = store.step_directory(step);
    for (const std::string& name : storage.list(folder)) {
      const auto stage = stage_of_record(name);
      if (!stage) continue;
      sources.push_back({folder, store.read_record(step, *stage)});
      for (const StageSource& earlier : sources) check_agreement(earlier, sources.back());
    }
  }
  return sources;
}

void check_manifests(os::Storage& storage, std::span<const fs::path> directories, Step step,
                     const Manifest& manifest) {
  for (const fs::path& directory : directories) {
    const CheckpointStore store(storage, directory, "merge");
    const fs::path path = store.step_directory(step) / kManifestName;
    if (!storage.status(path) || store.read_manifest(step) == manifest) continue;
    throw Error(
        ErrorKind::corrupt,
        fmt::format("{}: its id is {}, the records give {}", path.string(),
                    checkpoint_id(store.read_manifest(step)).hex(), checkpoint_id(manifest).hex()));
  }
}

// Copies by writing the stage anew: the form of the files is fixed, so the bytes are the same,
// and the store's order of durability holds here too.
void copy_stage(os::Storage& storage, const StageSource& source, CheckpointStore& target,
                const Progress& progress) {
  std::vector<ShardReader> shards;
  std::map<std::string, std::pair<std::size_t, std::size_t>> places;  // shard, tensor
  for (FileRecord& file : tensor_files(source.record)) {
    for (std::size_t i = 0; i < file.tensors.size(); ++i) {
      places[file.tensors[i].info.name] = {shards.size(), i};
    }
    const fs::path path = source.folder / file.file.name;
    shards.emplace_back(storage, path, std::move(file), kHint);
  }
  StageLayout layout = layout_of(source.record);
  if (source.record.tokenizer) {
    layout.tokenizer = read_tokenizer(storage, source.folder, *source.record.tokenizer);
  }
  const StageRecord written =
      target.write_stage(layout, [&](const TensorInfo& info, const ByteSink& sink) {
        const auto [shard, tensor] = places.at(info.name);
        shards[shard].stream(tensor, [&](std::span<const std::byte> bytes) {
          sink(bytes);
          if (progress) progress(ByteCount(bytes.size()));
        });
      });
  if (written != source.record) {
    throw Error(ErrorKind::corrupt,
                fmt::format("{}: its hashes are not those of the tensors that it lists",
                            (source.folder / record_file_name(written.stage)).string()),
                kHint);
  }
}

void check_stage(os::Storage& storage, const StageSource& source, const Progress& progress) {
  for (const FileRecord& file : tensor_files(source.record)) {
    const ShardReader shard(storage, source.folder / file.file.name, file, kHint);
    for (std::size_t chunk = 0; chunk < file.chunk_sha256.size(); ++chunk) {
      shard.check_chunk(chunk, progress);
    }
  }
  if (source.record.tokenizer) read_tokenizer(storage, source.folder, *source.record.tokenizer);
}

}  // namespace

MergePlan plan_merge(os::Storage& storage, std::span<const fs::path> directories, Step step) {
  std::map<StageIndex, StageSource> chosen;
  std::uint32_t stage_count = 0;
  for (StageSource& source : all_sources(storage, directories, step)) {
    stage_count = source.record.stage_count;
    if (has_files(storage, source)) {
      const StageIndex stage = source.record.stage;
      chosen.try_emplace(stage, std::move(source));
    }
  }
  MergePlan plan;
  std::vector<StageRecord> records;
  for (std::uint32_t i = 0; i < stage_count; ++i) {
    const auto found = chosen.find(StageIndex(i));
    if (found == chosen.end()) {
      throw Error(ErrorKind::corrupt,
                  fmt::format("{}: none of the folders holds all files of stage {} of {}",
                              step_name(step), i, stage_count),
                  kHint);
    }
    records.push_back(found->second.record);
    plan.sources.push_back(std::move(found->second));
  }
  plan.manifest = make_manifest(records);  // says so when there are no records at all
  check_manifests(storage, directories, step, plan.manifest);
  return plan;
}

std::optional<MergePlan> plan_newest_merge(os::Storage& storage,
                                           std::span<const fs::path> directories, Log& log) {
  std::set<Step, std::greater<>> steps;
  for (const fs::path& directory : directories) {
    for (const std::string& name : storage.list(directory)) {
      if (const auto step = step_from_name(name)) steps.insert(*step);
    }
  }
  std::optional<Error> first;
  for (const Step step : steps) {
    try {
      return plan_merge(storage, directories, step);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::corrupt) throw;
      log.warning(fmt::format("passed over {}: {}", step_name(step), error.what()));
      if (!first) first = error;
    }
  }
  if (first) throw *first;
  return std::nullopt;
}

CheckpointId merge(os::Storage& storage, const MergePlan& plan, CheckpointStore& target,
                   const Progress& progress) {
  const Step step = plan.manifest.run.step;
  const fs::path folder = target.step_directory(step);
  if (storage.status(folder / kManifestName) && target.read_manifest(step) != plan.manifest) {
    throw Error(ErrorKind::usage,
                folder.string() + " holds another checkpoint, and is not written over",
                "give another folder with --out");
  }
  for (const StageSource& source : plan.sources) {
    if (source.folder.lexically_normal() == folder.lexically_normal()) {
      check_stage(storage, source, progress);
    } else {
      copy_stage(storage, source, target, progress);
    }
  }
  target.sync_files(plan.manifest);  // those that were there already are somebody else's
  return target.write_manifest(plan.manifest);
}

}  // namespace ptrain::ckpt
