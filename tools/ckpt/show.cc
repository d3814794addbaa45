// ptrain-ckpt show: what a checkpoint holds, from its manifest, records and headers.

#include <memory>
#include <optional>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "libcommon/ckpt/checkpoint_reader.h"
#include "libcommon/cli/early_end.h"
#include "libcommon/cli/exit_code.h"
#include "libcommon/cli/json_line.h"
#include "libcommon/cli/output.h"
#include "libcommon/job/hf_config.h"
#include "tools/ckpt/commands.h"
#include "tools/ckpt/found_checkpoint.h"
#include "tools/ckpt/options.h"

namespace ptrain::ckpt_tool {
namespace {

struct ShowOptions {
  CommonOptions common;
  std::string what;
};

struct Wanted {
  std::string checkpoint;
  std::optional<std::string> tensor;
};

// "latest:model.norm.weight". A colon before the last slash is part of a path.
Wanted parse_wanted(const std::string& word) {
  const std::size_t slash = word.rfind('/');
  const std::size_t colon = word.find(':', slash == std::string::npos ? 0 : slash);
  if (colon == std::string::npos) return {word, std::nullopt};
  return {word.substr(0, colon), word.substr(colon + 1)};
}

void print_tensor_text(const ckpt::CheckpointReader& reader, const std::string& name) {
  const ckpt::TensorRecord& tensor = reader.tensor(name);
  const auto place = reader.place(name);
  cli::print("{}  {} [{}]  {} bytes {} to {}  sha256 {}\n", name, dtype_name(tensor.info.dtype),
             fmt::join(tensor.info.shape, ", "), place.file, place.range.begin, place.range.end,
             to_hex(tensor.sha256));
}

void print_tensor_json(const ckpt::CheckpointReader& reader, const std::string& name) {
  const ckpt::TensorRecord& tensor = reader.tensor(name);
  const auto place = reader.place(name);
  cli::print_json_line({{"kind", "tensor"},
                        {"name", name},
                        {"dtype", std::string(dtype_name(tensor.info.dtype))},
                        {"shape", tensor.info.shape},
                        {"file", place.file},
                        {"begin", place.range.begin},
                        {"end", place.range.end},
                        {"sha256", to_hex(tensor.sha256)}});
}

std::string stage_text(const ckpt::ManifestStage& stage) { return job::text_of(stage.span); }

void print_checkpoint_text(const ckpt::CheckpointReader& reader) {
  const ckpt::Manifest& manifest = reader.manifest();
  const job::ModelConfig& model = manifest.run.model;
  cli::print("id {}\nweights_sha256 {}\nstep {}, {} sequences consumed\n", reader.id().hex(),
             to_hex(manifest.weights_sha256), manifest.run.step.value(), manifest.run.cursor);
  cli::print(
      "model: {} layers, hidden {}, intermediate {}, {} heads of {}, {} for keys and values, "
      "vocabulary {}{}\n",
      model.num_hidden_layers, model.hidden_size, model.intermediate_size,
      model.num_attention_heads, model.head_dim, model.num_key_value_heads, model.vocab_size,
      model.tie_word_embeddings ? ", tied head" : "");
  if (!manifest.run.job_hash.empty()) cli::print("job_hash {}\n", manifest.run.job_hash);
  for (std::size_t i = 0; i < manifest.stages.size(); ++i) {
    cli::print("stage {}: {}\n", i, stage_text(manifest.stages[i]));
    for (const ckpt::FileDigest& file : files(manifest.stages[i])) {
      cli::print("  {}  {} bytes  sha256 {}\n", file.name, file.bytes.value(), to_hex(file.sha256));
    }
  }
}

void print_checkpoint_json(const ckpt::CheckpointReader& reader) {
  const ckpt::Manifest& manifest = reader.manifest();
  nlohmann::ordered_json json{{"kind", "checkpoint"},
                              {"id", reader.id().hex()},
                              {"weights_sha256", to_hex(manifest.weights_sha256)},
                              {"step", manifest.run.step.value()},
                              {"cursor", manifest.run.cursor},
                              {"job_hash", manifest.run.job_hash},
                              {"resume_hash", manifest.run.resume_hash},
                              {"model", job::model_to_hf_json(manifest.run.model)},
                              {"stages", nlohmann::ordered_json::array()}};
  for (const ckpt::ManifestStage& stage : manifest.stages) {
    nlohmann::ordered_json files_json = nlohmann::ordered_json::array();
    for (const ckpt::FileDigest& file : files(stage)) {
      files_json.push_back({{"name", file.name},
                            {"size_bytes", file.bytes.value()},
                            {"sha256", to_hex(file.sha256)}});
    }
    nlohmann::ordered_json stage_json{{"layer_begin", stage.span.layer_begin},
                                      {"layer_end", stage.span.layer_end}};
    if (cuts_a_layer(stage.span)) {
      stage_json["block_begin"] = stage.span.block_begin();
      stage_json["block_end"] = stage.span.block_end();
    }
    stage_json["files"] = std::move(files_json);
    json["stages"].push_back(std::move(stage_json));
  }
  cli::print_json_line(json);
}

int show(const ShowOptions& options) {
  os::PosixStorage storage;
  const Wanted wanted = parse_wanted(options.what);
  const ckpt::FoundCheckpoint found = find_complete(storage, wanted.checkpoint, options.common.dir);
  const ckpt::CheckpointReader reader(storage, found.folder());
  const auto print_tensor = options.common.json ? print_tensor_json : print_tensor_text;
  if (wanted.tensor) {
    if (!reader.contains(*wanted.tensor)) {
      throw cli::EarlyEnd{cli::kNegative, fmt::format("no tensor {} in {}", *wanted.tensor,
                                                      found.folder().string())};
    }
    print_tensor(reader, *wanted.tensor);
    return cli::kDone;
  }
  options.common.json ? print_checkpoint_json(reader) : print_checkpoint_text(reader);
  for (const ckpt::TensorInfo& tensor : reader.tensors()) print_tensor(reader, tensor.name);
  return cli::kDone;
}

}  // namespace

void add_show(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("show", "Show what a checkpoint, or one tensor of it, is");
  sub->footer(
      "Example:\n"
      "  ptrain-ckpt show run/ckpt/latest\n"
      "  ptrain-ckpt show --dir run/ckpt latest:model.norm.weight --json");
  auto o = std::make_shared<ShowOptions>();
  sub->add_option("CHECKPOINT", o->what, "The checkpoint, or CHECKPOINT:TENSOR")->required();
  add_common_options(*sub, o->common);
  sub->callback([&command, o] { command = [o] { return show(*o); }; });
}

}  // namespace ptrain::ckpt_tool
