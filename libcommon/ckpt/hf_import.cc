#include "libcommon/ckpt/hf_import.h"

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/in_quotes.h"
#include "libcommon/ckpt/chunk.h"
#include "libcommon/ckpt/element.h"
#include "libcommon/ckpt/reshard.h"
#include "libcommon/ckpt/tokenizer_file.h"
#include "libcommon/job/job_file.h"

namespace ptrain::ckpt {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kHead = "lm_head.weight";
constexpr std::string_view kEmbedding = "model.embed_tokens.weight";

[[noreturn]] void refuse(const std::string& what, const std::string& hint = "") {
  throw Error(ErrorKind::corrupt, what, hint);
}

// The loaders' cache is made of links, so links are followed.
std::unique_ptr<os::ReadableFile> open_file_of_model(os::Storage& storage, const fs::path& path) {
  const auto status = storage.followed_status(path);
  if (!status && storage.status(path)) {
    refuse(path.string() + ": a symbolic link that leads nowhere",
           "download the model again: the loaders' cache lacks this file");
  }
  if (!status) refuse(path.string() + " is not here");
  if (status->kind != os::FileKind::regular) refuse(path.string() + ": not a regular file");
  return storage.open(path);
}

// A file of text, with a bound.
std::string read_text(os::Storage& storage, const fs::path& path, std::size_t max_bytes) {
  const bool here = storage.status(path).has_value();
  const auto file = here ? open_file_of_model(storage, path) : storage.open(path);  // which says so
  if (file->size().value() > max_bytes) {
    refuse(fmt::format("{}: {} bytes, at most {} are allowed", path.string(), file->size().value(),
                       max_bytes));
  }
  std::string text(file->size().value(), '\0');
  file->read_at(0, std::as_writable_bytes(std::span(text)));
  return text;
}

job::ModelConfig read_config(os::Storage& storage, const fs::path& path) {
  return parse_hf_config(read_text(storage, path, job::kModelConfigFileMaxBytes), path.string());
}

// Tables that old models stored and that follow from the configuration.
bool is_derived(std::string_view name) { return name.ends_with(".rotary_emb.inv_freq"); }

}  // namespace

HfModel::HfModel(os::Storage& storage, const fs::path& folder)
    : storage_(storage), folder_(folder), config_(read_config(storage, folder / kHfConfigName)) {
  open_weights();
  check_tensors();
}

// model.safetensors first, as transformers looks for them.
void HfModel::open_weights() {
  if (storage_.status(folder_ / kHfSingleName)) {
    return open_file(std::string(kHfSingleName), nullptr);
  }
  const fs::path path = folder_ / kHfIndexName;
  if (!storage_.status(path)) {
    refuse(
        fmt::format("{}: neither {} nor {} is here", folder_.string(), kHfSingleName, kHfIndexName),
        "ptrain reads safetensors; convert other files with transformers first");
  }
  const HfIndex index = parse_hf_index(read_text(storage_, path, kMaxHfIndexBytes), path.string());
  std::set<std::string> names;
  for (const auto& [tensor, file] : index) names.insert(file);
  for (const std::string& name : names) open_file(name, &index);
  for (const auto& [tensor, file] : index) {
    if (!places_.contains(tensor)) {
      refuse(fmt::format("{}: tensor {} is not in {}", path.string(), in_quotes(tensor), file));
    }
  }
}

void HfModel::open_file(const std::string& name, const HfIndex* index) {
  const fs::path path = folder_ / name;
  const os::ReadableFile& file = *files_.emplace_back(open_file_of_model(storage_, path));
  for (SafetensorsEntry& entry : read_safetensors_header(file, path.string()).tensors) {
    if (index != nullptr) {
      const auto found = index->find(entry.info.name);
      if (found == index->end() || found->second != name) {
        refuse(fmt::format("{}: tensor {}, which the index does not put there", path.string(),
                           in_quotes(entry.info.name)));
      }
    }
    const std::string tensor = entry.info.name;
    places_.emplace(tensor, Place{&file, path.string(), std::move(entry)});
  }
}

void HfModel::check_tensors() {
  std::set<std::string, std::less<>> expected;
  for (const job::ParameterSpec& parameter : job::parameters(config_)) {
    expected.insert(parameter.name);
    const auto found = places_.find(parameter.name);
    if (found == places_.end()) {
      refuse(fmt::format("{}: no tensor \"{}\", which {} asks for", folder_.string(),
                         parameter.name, kHfConfigName));
    }
    const TensorInfo& info = found->second.entry.info;
    if (info.shape != parameter.shape) {
      refuse(fmt::format("{}: tensor \"{}\" is [{}], {} asks for [{}]", found->second.path,
                         parameter.name, fmt::join(info.shape, ", "), kHfConfigName,
                         fmt::join(parameter.shape, ", ")));
    }
    if (!widens_to_float32(info.dtype)) {
      refuse(fmt::format("{}: tensor \"{}\" is {}, expected F32, BF16 or F16", found->second.path,
                         parameter.name, dtype_name(info.dtype)));
    }
  }
  for (const auto& [name, place] : places_) {
    if (expected.contains(name) || is_derived(name)) continue;
    if (name == kHead) {
      check_tied_head();
      continue;
    }
    refuse(fmt::format("{}: tensor {} belongs to no parameter of the model", place.path,
                       in_quotes(name)));
  }
}

// Some writers store a tied head all the same. Then it must be the embedding.
void HfModel::check_tied_head() {
  const Place& head = places_.find(kHead)->second;
  const Place& embedding = places_.find(kEmbedding)->second;
  const bool same_form = head.entry.info.dtype == embedding.entry.info.dtype &&
                         head.entry.info.shape == embedding.entry.info.shape;
  if (same_form) {
    const auto hash_of = [this](std::string_view name) {
      Sha256 hash;
      stream(std::string(name), [&hash](std::span<const std::byte> bytes) { hash.update(bytes); });
      return hash.digest();
    };
    if (hash_of(kHead) == hash_of(kEmbedding)) return;
  }
  refuse(fmt::format("{}: \"{}\" is not \"{}\", although tie_word_embeddings is true", head.path,
                     kHead, kEmbedding));
}

ByteCount HfModel::data_size() const {
  std::uint64_t bytes = 0;
  for (const job::ParameterSpec& parameter : job::parameters(config_)) {
    bytes += *byte_size({parameter.name, Dtype::f32, parameter.shape});  // shapes were checked
  }
  return ByteCount(bytes);
}

std::optional<std::string> HfModel::tokenizer() const {
  const fs::path path = folder_ / kHfTokenizerName;
  if (!storage_.status(path)) return std::nullopt;
  std::string bytes = read_text(storage_, path, kMaxTokenizerBytes);
  return bytes.empty() ? std::nullopt : std::optional(std::move(bytes));
}

void HfModel::stream(const std::string& parameter, const ByteSink& sink) const {
  const Place& place = places_.at(parameter);
  const Dtype dtype = place.entry.info.dtype;
  const std::uint64_t size = place.entry.end - place.entry.begin;
  std::vector<std::byte> piece(std::min<std::uint64_t>(kPieceBytes, size));
  std::vector<float> numbers(piece.size() / element_bytes(dtype));
  for (std::uint64_t at = place.entry.begin; at < place.entry.end;) {
    const auto bytes =
        std::span(piece).first(std::min<std::uint64_t>(piece.size(), place.entry.end - at));
    place.file->read_at(at, bytes);
    const auto out = std::span(numbers).first(bytes.size() / element_bytes(dtype));
    widen(dtype, bytes, out);
    sink(std::as_bytes(out));
    at += bytes.size();
  }
}

CheckpointId import_hf(const HfModel& model, std::span<const job::StageSpan> cut,
                       os::Storage& storage, CheckpointStore& target, const Progress& progress) {
  RunState run;  // step 0 of no job
  run.model = model.config();
  refuse_existing(storage, target, run.step);
  std::vector<StageRecord> records;
  for (const StageLayout& layout : layouts_of_cut(run, cut, {}, model.tokenizer())) {
    records.push_back(target.write_stage(layout, [&](const TensorInfo& info, const ByteSink& sink) {
      model.stream(info.name, [&](std::span<const std::byte> bytes) {
        sink(bytes);
        if (progress) progress(ByteCount(bytes.size()));
      });
    }));
  }
  return target.write_manifest(make_manifest(records));
}

}  // namespace ptrain::ckpt
