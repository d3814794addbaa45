#include "libcommon/ckpt/manifest.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/ckpt/record_json.h"
#include "libcommon/ckpt/run_difference.h"
#include "libcommon/ckpt/weights_digest.h"

namespace ptrain::ckpt {
namespace {

using nlohmann::json;

constexpr std::string_view kManifestFormat = "ptrain-checkpoint";

// "layer 3", "the MLP of layer 3".
std::string begin_text(const job::StageSpan& span) {
  return fmt::format("{}layer {}", span.mlp_first ? "the MLP of " : "", span.layer_begin);
}

// One past the last layer, or the part of it that is not there any more.
std::string end_text(const job::StageSpan& span) {
  return span.attention_last ? fmt::format("the MLP of layer {}", span.layer_end - 1)
                             : fmt::format("layer {}", span.layer_end);
}

[[noreturn]] void refuse(const std::string& what) { throw Error(ErrorKind::corrupt, what); }

// In order of stage, one each, all of the same run and cut.
std::vector<const StageRecord*> in_order(std::span<const StageRecord> records) {
  if (records.empty()) refuse("a manifest needs the records of all stages, there are none");
  std::vector<const StageRecord*> ordered(records.front().stage_count, nullptr);
  for (const StageRecord& record : records) {
    const std::string name = record_file_name(record.stage);
    if (record.stage_count != ordered.size() || record.stage.value() >= ordered.size()) {
      refuse(fmt::format("{}: of {} stages, {} says {}", name, record.stage_count,
                         record_file_name(records.front().stage), ordered.size()));
    }
    if (ordered[record.stage.value()] != nullptr) refuse(name + " is given twice");
    if (const auto other = first_difference(record.run, records.front().run)) {
      refuse(fmt::format("{} and {} are not of the same step of the same run: {} is {} and {}",
                         name, record_file_name(records.front().stage), other->field, other->left,
                         other->right));
    }
    ordered[record.stage.value()] = &record;
  }
  for (std::size_t i = 0; i < ordered.size(); ++i) {
    if (ordered[i] == nullptr) {
      refuse(record_file_name(StageIndex(static_cast<std::uint32_t>(i))) + " is missing");
    }
  }
  return ordered;
}

// Each stage begins at the block where the one before ends; the ends are check_span's.
void check_cut(std::span<const ManifestStage> stages, const job::ModelConfig& model,
               const std::string& where) {
  job::StageSpan before;
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const job::StageSpan& span = stages[i].span;
    const StageIndex stage(static_cast<std::uint32_t>(i));
    check_span(span, model, stage, static_cast<std::uint32_t>(stages.size()), where);
    if (span.block_begin() != before.block_end()) {
      refuse(fmt::format("{}: stage {} begins at {}, the one before ends at {}", where, i,
                         begin_text(span), end_text(before)));
    }
    before = span;
  }
}

void collect_tensors(const StageRecord& record, const FileRecord& file,
                     std::map<std::string, Sha256Digest>& hashes) {
  for (const TensorRecord& tensor : file.tensors) {
    const auto [known, added] = hashes.emplace(tensor.info.name, tensor.sha256);
    if (!added && known->second != tensor.sha256) {
      refuse(fmt::format("{}: tensor \"{}\" has SHA-256 {}, an earlier stage holds {}",
                         record_file_name(record.stage), tensor.info.name, to_hex(tensor.sha256),
                         to_hex(known->second)));
    }
  }
}

Sha256Digest weights_sha256(const std::vector<const StageRecord*>& records) {
  std::map<std::string, Sha256Digest> hashes;
  for (const StageRecord* record : records) {
    collect_tensors(*record, record->model, hashes);
    if (record->optim) collect_tensors(*record, *record->optim, hashes);
  }
  WeightsDigest digest;
  for (const job::ParameterSpec& parameter : job::parameters(records.front()->run.model)) {
    const auto found = hashes.find(parameter.name);
    if (found == hashes.end()) refuse("no stage holds tensor \"" + parameter.name + "\"");
    digest.add(parameter.name, found->second);
  }
  return digest.digest();
}

FileDigest digest_of(const StageRecord& record) {
  const std::string text = canonical_json(record);
  return {record_file_name(record.stage), ByteCount(text.size()), sha256(text)};
}

std::optional<FileDigest> digest_of(const std::optional<FileRecord>& file) {
  return file ? std::optional(file->file) : std::nullopt;
}

json stage_json(const ManifestStage& stage) {
  json value = {{"span", to_json(stage.span)},
                {"record", to_json(stage.record)},
                {"model", to_json(stage.model)}};
  if (stage.optim) value["optim"] = to_json(*stage.optim);
  if (stage.tokenizer) value["tokenizer"] = to_json(*stage.tokenizer);
  return value;
}

ManifestStage stage_from_json(JsonObject object, StageIndex index) {
  ManifestStage stage;
  stage.span = span_from_json(object.object("span"));
  stage.record = file_digest_from_json(object.object("record"), record_file_name(index));
  stage.model = file_digest_from_json(object.object("model"), model_file_name(index));
  if (object.has("optim")) {
    stage.optim = file_digest_from_json(object.object("optim"), optim_file_name(index));
  }
  if (stage.span.embedding && object.has("tokenizer")) {
    stage.tokenizer = file_digest_from_json(object.object("tokenizer"), tokenizer_file_name(index));
  }
  object.finish();
  return stage;
}

}  // namespace

std::optional<CheckpointId> checkpoint_id_from_hex(std::string_view hex) {
  const auto digest = sha256_from_hex(hex);
  return digest ? std::optional(CheckpointId{*digest}) : std::nullopt;
}

std::vector<FileDigest> files(const ManifestStage& stage) {
  std::vector<FileDigest> list{stage.record, stage.model};
  if (stage.optim) list.push_back(*stage.optim);
  if (stage.tokenizer) list.push_back(*stage.tokenizer);
  return list;
}

std::vector<FileDigest> files(const Manifest& manifest) {
  std::vector<FileDigest> list;
  for (const ManifestStage& stage : manifest.stages) {
    for (FileDigest& file : files(stage)) list.push_back(std::move(file));
  }
  return list;
}

Manifest make_manifest(std::span<const StageRecord> records) {
  const auto ordered = in_order(records);
  Manifest manifest;
  manifest.run = ordered.front()->run;
  for (const StageRecord* record : ordered) {
    ManifestStage stage{record->span, digest_of(*record), record->model.file};
    stage.optim = digest_of(record->optim);
    stage.tokenizer = digest_of(record->tokenizer);
    manifest.stages.push_back(std::move(stage));
  }
  check_cut(manifest.stages, manifest.run.model, "the records");
  manifest.weights_sha256 = weights_sha256(ordered);
  return manifest;
}

std::optional<std::string> contradiction(const Manifest& manifest, StageIndex stage,
                                         const StageRecord& record) {
  if (const auto other = first_difference(record.run, manifest.run)) {
    return fmt::format("{} is {}, the manifest says {}", other->field, other->left, other->right);
  }
  if (record.stage != stage || record.stage_count != manifest.stages.size()) {
    return fmt::format("it is of stage {} of {}, the manifest says {} of {}", record.stage.value(),
                       record.stage_count, stage.value(), manifest.stages.size());
  }
  const ManifestStage& described = manifest.stages[stage.value()];
  if (record.span != described.span) {
    return fmt::format("its layers are {} to {}, the manifest says {} to {}",
                       begin_text(record.span), end_text(record.span), begin_text(described.span),
                       end_text(described.span));
  }
  if (record.model.file != described.model || digest_of(record.optim) != described.optim ||
      digest_of(record.tokenizer) != described.tokenizer) {
    return "it describes other files than the manifest";
  }
  return std::nullopt;
}

std::string canonical_json(const Manifest& manifest) {
  const bool extended = std::ranges::any_of(manifest.stages, [](const ManifestStage& stage) {
    return stage.tokenizer.has_value() || cuts_a_layer(stage.span);
  });
  json value = {{"format", kManifestFormat},
                {"version", extended ? kExtendedVersion : kFormatVersion},
                {"run", to_json(manifest.run)},
                {"stages", json::array()},
                {"weights_sha256", to_hex(manifest.weights_sha256)}};
  for (const ManifestStage& stage : manifest.stages) value["stages"].push_back(stage_json(stage));
  return value.dump();
}

Manifest parse_manifest(std::string_view text, const std::string& where) {
  if (text.size() > kMaxManifestBytes) {
    refuse(fmt::format("{}: {} bytes, a manifest has at most {}", where, text.size(),
                       kMaxManifestBytes));
  }
  const json value = parse_strict_json(text, where);
  JsonObject object(value, where);
  check_format(object, kManifestFormat);
  Manifest manifest;
  manifest.run = run_from_json(object.object("run"));
  const json& stages = object.array("stages");
  if (stages.empty() || stages.size() > kMaxStages) {
    refuse(fmt::format("{}: {} stages, expected 1 to {}", where, stages.size(), kMaxStages));
  }
  for (const json& stage : stages) {
    const StageIndex index(static_cast<std::uint32_t>(manifest.stages.size()));
    const std::string place = fmt::format("{}.stages[{}]", where, index.value());
    manifest.stages.push_back(stage_from_json(JsonObject(stage, place), index));
  }
  check_cut(manifest.stages, manifest.run.model, where);
  manifest.weights_sha256 = object.sha256("weights_sha256");
  object.finish();
  check_canonical(text, canonical_json(manifest), where);
  return manifest;
}

CheckpointId checkpoint_id(const Manifest& manifest) { return {sha256(canonical_json(manifest))}; }

}  // namespace ptrain::ckpt
