#include "libcommon/ckpt/hf_export.h"

#include <algorithm>
#include <array>
#include <span>
#include <string_view>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "libcommon/base/bytes_of.h"
#include "libcommon/base/error.h"
#include "libcommon/ckpt/averages.h"
#include "libcommon/ckpt/element.h"
#include "libcommon/ckpt/hf_files.h"
#include "libcommon/ckpt/shard_writer.h"
#include "libcommon/job/hf_config.h"
#include "libcommon/job/optimiser_state.h"
#include "libcommon/os/atomic_file.h"

namespace ptrain::ckpt {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kWriter = "export";
constexpr std::string_view kGenerationConfigName = "generation_config.json";
constexpr std::string_view kTokenizerConfigName = "tokenizer_config.json";
constexpr std::string_view kReadmeName = "README.md";

// Names that an export gives, whichever way it cut the weights.
bool is_exports(std::string_view name) {
  constexpr std::array kNames{
      kHfConfigName,    kHfSingleName,        kHfIndexName, kGenerationConfigName,
      kHfTokenizerName, kTokenizerConfigName, kReadmeName};
  return std::ranges::find(kNames, name) != kNames.end() ||
         (name.starts_with("model-") && name.ends_with(".safetensors"));
}

void make_room(os::Storage& storage, const fs::path& folder, bool replace) {
  os::create_directories_durably(storage, folder);
  for (const std::string& name : storage.list(folder)) {  // what an export that died left
    if (name.starts_with(os::temporary_name(kWriter, ""))) storage.remove(folder / name);
  }
  const auto names = storage.list(folder);
  const auto found = std::ranges::find_if(names, is_exports);
  if (found == names.end()) return;
  if (!replace) {
    throw Error(ErrorKind::usage, (folder / *found).string() + " is there already",
                "give an empty folder, or --replace");
  }
  if (storage.remove(folder / kHfConfigName)) storage.sync_directory(folder);
  for (const std::string& name : names) {
    if (is_exports(name)) storage.remove(folder / name);
  }
  storage.sync_directory(folder);
}

std::string config_json(const job::ModelConfig& model, Dtype dtype) {
  auto config = job::model_to_hf_json(model);
  config["torch_dtype"] = dtype == Dtype::bf16 ? "bfloat16" : "float32";
  return config.dump(2) + "\n";
}

// What transformers needs to know of the tokenizer to give a text the tokens that it was trained
// on: no control tokens around it, and a space before it only where the model itself puts one.
std::string tokenizer_config_json(const job::ModelConfig& model, bool adds_space) {
  const nlohmann::ordered_json config{{"tokenizer_class", "LlamaTokenizer"},
                                      {"model_max_length", model.max_position_embeddings},
                                      {"add_bos_token", false},
                                      {"add_eos_token", false},
                                      {"add_prefix_space", adds_space},
                                      {"legacy", false},
                                      {"clean_up_tokenization_spaces", false},
                                      {"unk_token", "<unk>"},
                                      {"bos_token", "<s>"},
                                      {"eos_token", "</s>"}};
  return config.dump(2) + "\n";
}

std::string readme(const CheckpointReader& source, const HfExportOptions& options) {
  const Manifest& manifest = source.manifest();
  std::string text = fmt::format(
      "# A model trained with ptrain\n\n"
      "- checkpoint: {}, step {}\n"
      "- weights_sha256, of the float32 parameters: {}\n"
      "- stored as {}\n\n",
      source.id().hex(), manifest.run.step.value(), to_hex(manifest.weights_sha256),
      options.dtype == Dtype::bf16 ? "bfloat16, rounded to nearest" : "float32, exact");
  if (options.averages) text += "The weights are averages over steps of the run (EMA).\n\n";
  text += options.sentencepiece_model
              ? "The tokenizer is `tokenizer.model`, a SentencePiece model.\n"
              : "There is no tokenizer here. If the model was trained on bytes, token *i* is the "
                "byte\n*i*: `list(text.encode())`, and `bytes(tokens)` back.\n";
  return text;
}

// One tensor in the type that is asked for.
void append(const CheckpointReader& source, const TensorInfo& info, const HfExportOptions& options,
            ShardWriter& shard) {
  // Pieces come as float32, whatever the type that is written.
  const std::uint64_t elements = *byte_size(info) / element_bytes(info.dtype);
  const auto most = std::min<std::uint64_t>(kPieceBytes / sizeof(float), elements);
  std::vector<float> numbers(most);
  std::vector<std::byte> rounded(most * element_bytes(Dtype::bf16));
  const std::string name = options.averages ? info.name + job::kAverageSuffix : info.name;
  source.stream(name, [&](std::span<const std::byte> piece) {
    if (info.dtype == Dtype::f32) {
      shard.append(piece);
    } else {
      const std::size_t count = piece.size() / sizeof(float);
      widen(Dtype::f32, piece, std::span(numbers).first(count));
      const auto out = std::span(rounded).first(2 * count);
      round_to_bfloat16(std::span(numbers).first(count), out);
      shard.append(out);
    }
    if (options.progress) options.progress(ByteCount(piece.size()));
  });
}

}  // namespace

HfExported export_hf(const CheckpointReader& source, os::Storage& storage, const fs::path& folder,
                     const HfExportOptions& options) {
  if (options.dtype != Dtype::f32 && options.dtype != Dtype::bf16) {
    throw Error(ErrorKind::internal, "export as " + std::string(dtype_name(options.dtype)));
  }
  if (options.averages) require_averages(source);
  const job::ModelConfig& model = source.manifest().run.model;
  std::vector<TensorInfo> tensors;
  for (const job::ParameterSpec& parameter : job::parameters(model)) {
    tensors.push_back({parameter.name, options.dtype, parameter.shape});
  }
  const std::vector<HfFile> files = cut_into_files(tensors, options.max_file_bytes);
  make_room(storage, folder, options.replace);

  HfExported exported;
  for (const HfFile& file : files) {
    ShardWriter shard(storage, folder / file.name, kWriter, file.tensors);
    for (const TensorInfo& info : file.tensors) append(source, info, options, shard);
    exported.weights.push_back(shard.finish().file);
    shard.commit();
  }
  const auto write = [&](std::string_view name, std::string_view text) {
    os::write_file_durably(storage, folder / name, kWriter, bytes_of(text));
  };
  if (files.size() > 1) write(kHfIndexName, index_json(files));
  if (options.sentencepiece_model) {
    write(kHfTokenizerName, *options.sentencepiece_model);
    write(kTokenizerConfigName, tokenizer_config_json(model, options.tokenizer_adds_space));
  }
  write(kReadmeName, readme(source, options));
  write(kGenerationConfigName, "{\n  \"_from_model_config\": true\n}\n");
  write(kHfConfigName, config_json(model, options.dtype));
  return exported;
}

}  // namespace ptrain::ckpt
