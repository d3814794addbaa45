#include "libcommon/ckpt/checkpoint_reader.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/ckpt/tokenizer_file.h"
#include "libcommon/os/read_file.h"

namespace ptrain::ckpt {
namespace {

namespace fs = std::filesystem;

std::string repair_hint(CheckpointId id) {
  return "fetch checkpoint " + id.hex().substr(0, 12) +
         " again from a peer that holds it, or resume from an older one";
}

}  // namespace

CheckpointReader::CheckpointReader(os::Storage& storage, fs::path step_directory, Coverage coverage)
    : storage_(storage), directory_(std::move(step_directory)) {
  const fs::path path = directory_ / kManifestName;
  manifest_ = parse_manifest(os::read_file(storage_, path, kMaxManifestBytes), path.string());
  id_ = checkpoint_id(manifest_);
  for (std::uint32_t stage = 0; stage < manifest_.stages.size(); ++stage) {
    open_stage(StageIndex(stage), coverage);
  }
  // With every record at hand the whole derivation can be repeated.
  if (records_.size() == manifest_.stages.size() && make_manifest(records_) != manifest_) {
    throw Error(ErrorKind::corrupt, path.string() + ": does not follow from its records");
  }
}

void CheckpointReader::open_stage(StageIndex stage, Coverage coverage) {
  const ManifestStage& described = manifest_.stages[stage.value()];
  for (const FileDigest& file : files(described)) {
    if (storage_.status(directory_ / file.name)) continue;
    if (coverage == Coverage::held_stages) return;
    throw Error(ErrorKind::corrupt,
                fmt::format("{}: {} is not here", directory_.string(), file.name),
                repair_hint(id_));
  }
  const fs::path path = directory_ / described.record.name;
  const std::string text = os::read_file(storage_, path, kMaxRecordBytes);
  if (sha256(text) != described.record.sha256) {
    throw Error(ErrorKind::corrupt,
                path.string() + ": does not have the SHA-256 that the manifest gives",
                repair_hint(id_));
  }
  StageRecord record = parse_record(text, path.string());
  if (const auto problem = contradiction(manifest_, stage, record)) {
    throw Error(ErrorKind::corrupt, path.string() + ": " + *problem, repair_hint(id_));
  }
  open_shard(record.model);
  if (record.optim) open_shard(*record.optim);
  records_.push_back(std::move(record));
}

void CheckpointReader::open_shard(const FileRecord& described) {
  const ShardReader& shard =
      shards_.emplace_back(storage_, directory_ / described.file.name, described, repair_hint(id_));
  for (std::size_t i = 0; i < described.tensors.size(); ++i) {
    const TensorRecord& tensor = described.tensors[i];
    const auto [known, added] =
        locations_.emplace(tensor.info.name, Location{shards_.size() - 1, i});
    // The first holder wins; another must hold the same.
    if (!added && record_at(known->second).sha256 != tensor.sha256) {
      throw Error(ErrorKind::corrupt,
                  fmt::format("{}: tensor \"{}\" differs from that of {}", shard.path(),
                              tensor.info.name, shards_[known->second.shard].path()));
    }
  }
}

std::optional<CheckpointReader::Tokenizer> CheckpointReader::tokenizer() const {
  for (const StageRecord& record : records_) {
    if (!record.tokenizer) continue;
    const FileDigest& file = record.tokenizer->file;
    return Tokenizer{directory_ / file.name, file.sha256,
                     read_tokenizer(storage_, directory_, *record.tokenizer)};
  }
  return std::nullopt;
}

std::vector<TensorInfo> CheckpointReader::tensors() const {
  std::vector<TensorInfo> model;
  std::vector<TensorInfo> optim;
  for (std::size_t s = 0; s < shards_.size(); ++s) {
    const FileRecord& record = shards_[s].record();
    const bool parameters = record.file.name.ends_with("model.safetensors");
    for (std::size_t i = 0; i < record.tensors.size(); ++i) {
      const TensorInfo& info = record.tensors[i].info;
      const Location& first = locations_.find(info.name)->second;
      if (first.shard == s && first.tensor == i) (parameters ? model : optim).push_back(info);
    }
  }
  model.insert(model.end(), optim.begin(), optim.end());
  return model;
}

bool CheckpointReader::contains(std::string_view name) const {
  return locations_.find(name) != locations_.end();
}

const TensorRecord& CheckpointReader::tensor(std::string_view name) const {
  return record_at(locate(name));
}

const TensorRecord& CheckpointReader::record_at(const Location& location) const {
  return shards_[location.shard].record().tensors[location.tensor];
}

const CheckpointReader::Location& CheckpointReader::locate(std::string_view name) const {
  const auto found = locations_.find(name);
  if (found == locations_.end()) {
    throw Error(ErrorKind::corrupt, fmt::format("{}: no tensor \"{}\" in the files that are here",
                                                directory_.string(), name));
  }
  return found->second;
}

void CheckpointReader::read(std::string_view name, std::span<std::byte> out) const {
  const Location& location = locate(name);
  shards_[location.shard].read(location.tensor, out);
}

void CheckpointReader::stream(std::string_view name, const ByteSink& sink) const {
  const Location& location = locate(name);
  shards_[location.shard].stream(location.tensor, sink);
}

TensorPieces CheckpointReader::pieces(std::string_view name) const {
  const Location& location = locate(name);
  return shards_[location.shard].pieces(location.tensor);
}

CheckpointReader::Place CheckpointReader::place(std::string_view name) const {
  const Location& location = locate(name);
  const ShardReader& shard = shards_[location.shard];
  return {shard.record().file.name, shard.range(location.tensor)};
}

void CheckpointReader::verify_data(const Progress& progress) const {
  for (const ShardReader& shard : shards_) {
    for (std::size_t chunk = 0; chunk < shard.record().chunk_sha256.size(); ++chunk) {
      shard.check_chunk(chunk, progress);
    }
  }
}

}  // namespace ptrain::ckpt
