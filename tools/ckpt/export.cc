// ptrain-ckpt export: a checkpoint's model for everybody who uses Hugging Face's format.

#include <memory>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/ckpt/hf_export.h"
#include "libcommon/ckpt/tokenizer_file.h"
#include "libcommon/cli/exit_code.h"
#include "libcommon/cli/json_line.h"
#include "libcommon/cli/output.h"
#include "libcommon/data/sentencepiece_module.h"
#include "tools/ckpt/byte_work.h"
#include "tools/ckpt/commands.h"
#include "tools/ckpt/found_checkpoint.h"
#include "tools/ckpt/options.h"
#include "tools/ckpt/quantity.h"

namespace ptrain::ckpt_tool {
namespace {

struct ExportOptions {
  CommonOptions common;
  std::string name;
  std::string folder;
  std::string dtype = "float32";
  std::string max_shard_size = "5GB";
  std::string tokenizer;
  bool averages = false;
  bool replace = false;
};

// The SentencePiece model that goes with the weights: the checkpoint's, or the one that is named,
// which must be the same, once it has been read as a tokenizer for this vocabulary.
void take_tokenizer(os::Storage& storage, const std::string& named,
                    const ckpt::CheckpointReader& source, ckpt::HfExportOptions& to) {
  auto own = source.tokenizer();
  if (named.empty() && !own) return;
  const std::string path = named.empty() ? own->path.string() : named;
  const auto tokenizer = data::load_sentencepiece_tokenizer(path);
  const auto vocab_size = static_cast<std::uint64_t>(source.manifest().run.model.vocab_size);
  if (tokenizer->vocab_size() > vocab_size) {
    throw Error(ErrorKind::usage,
                fmt::format("--tokenizer {}: {} tokens, the model's vocab_size is {}", path,
                            tokenizer->vocab_size(), vocab_size));
  }
  std::string bytes = own ? std::move(own->bytes) : ckpt::load_tokenizer(storage, path);
  const auto digest = data::tokenizer_digest(path);
  if (own && digest != own->sha256) {
    throw Error(ErrorKind::usage,
                fmt::format("--tokenizer {}: it is {}, the checkpoint has {}", path,
                            data::tokenizer_text(digest), data::tokenizer_text(own->sha256)),
                "leave --tokenizer out");
  }
  to.sentencepiece_model = std::move(bytes);
  to.tokenizer_adds_space = !tokenizer->text_prefix().empty();
}

ByteCount shard_size(const std::string& text) {
  const auto size = parse_size(text);
  if (size && size->value() > 0) return *size;
  throw Error(ErrorKind::usage, "--max-shard-size " + text + ": expected a size such as 5GB");
}

void print(const ExportOptions& options, const ckpt::CheckpointReader& source,
           const ckpt::HfExported& exported) {
  if (!options.common.json) {
    for (const ckpt::FileDigest& file : exported.weights) {
      cli::print("{}/{}: {}\n", options.folder, file.name, size_text(file.bytes));
    }
    return;
  }
  nlohmann::ordered_json weights = nlohmann::ordered_json::array();
  for (const ckpt::FileDigest& file : exported.weights) {
    weights.push_back(
        {{"name", file.name}, {"size_bytes", file.bytes.value()}, {"sha256", to_hex(file.sha256)}});
  }
  cli::print_json_line({{"path", options.folder},
                        {"id", source.id().hex()},
                        {"step", source.manifest().run.step.value()},
                        {"dtype", options.dtype},
                        {"weights", std::move(weights)}});
}

int run_export(const ExportOptions& options) {
  StderrLog log("ptrain-ckpt");
  os::PosixStorage storage(&log);
  ByteWork work;
  const ckpt::FoundCheckpoint found = find_complete(storage, options.name, options.common.dir);
  const ckpt::CheckpointReader source(storage, found.folder());
  ckpt::HfExportOptions to{
      .dtype = options.dtype == "bfloat16" ? ckpt::Dtype::bf16 : ckpt::Dtype::f32,
      .averages = options.averages,
      .max_file_bytes = shard_size(options.max_shard_size),
      .sentencepiece_model = std::nullopt,
      .replace = options.replace,
      .progress = work.progress()};
  take_tokenizer(storage, options.tokenizer, source, to);
  std::uint64_t bytes = 0;
  for (const auto& stage : source.manifest().stages) bytes += stage.model.bytes.value();
  work.begin("export " + ckpt::step_name(found.info.step), ByteCount(bytes));
  const ckpt::HfExported exported = ckpt::export_hf(source, storage, options.folder, to);
  work.clear();
  print(options, source, exported);
  return cli::kDone;
}

}  // namespace

void add_export(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("export", "Write the model in Hugging Face's format");
  sub->footer("Example:\n  ptrain-ckpt export run/ckpt/latest --hf my-model --dtype bfloat16");
  auto o = std::make_shared<ExportOptions>();
  sub->add_option("CHECKPOINT", o->name, "The checkpoint to export")->required();
  sub->add_option("--hf", o->folder, "Folder to write")->required();
  sub->add_option("--dtype", o->dtype, "Type of the weights")
      ->check(CLI::IsMember({"float32", "bfloat16"}))
      ->capture_default_str();
  sub->add_option("--max-shard-size", o->max_shard_size, "Most data in a file")
      ->capture_default_str();
  sub->add_option("--tokenizer", o->tokenizer, "A SentencePiece model (default: the checkpoint's)");
  sub->add_flag("--averages", o->averages, "Of the weights, in their place (optim.ema)");
  sub->add_flag("--replace", o->replace, "Replace the model that the folder holds");
  add_common_options(*sub, o->common);
  sub->callback([&command, o] { command = [o] { return run_export(*o); }; });
}

}  // namespace ptrain::ckpt_tool
