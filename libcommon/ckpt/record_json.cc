#include "libcommon/ckpt/record_json.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "libcommon/base/error.h"

namespace ptrain::ckpt {
namespace {

using nlohmann::json;

constexpr const char* kModelType = "llama";

std::string hash_or_empty(JsonObject& object, const std::string& key) {
  std::string hex = object.text(key);
  if (!hex.empty() && !sha256_from_hex(hex)) {
    object.fail(key, "64 lower-case hexadecimal digits, or nothing");
  }
  return hex;
}

double positive(JsonObject& object, const std::string& key) {
  const double value = object.number(key);
  if (!std::isfinite(value) || value <= 0) object.fail(key, "a positive number");
  return value;
}

}  // namespace

json to_json(const job::ModelConfig& model) {
  return {{"model_type", kModelType},
          {"vocab_size", static_cast<std::uint64_t>(model.vocab_size)},
          {"hidden_size", static_cast<std::uint64_t>(model.hidden_size)},
          {"intermediate_size", static_cast<std::uint64_t>(model.intermediate_size)},
          {"num_hidden_layers", static_cast<std::uint64_t>(model.num_hidden_layers)},
          {"num_attention_heads", static_cast<std::uint64_t>(model.num_attention_heads)},
          {"num_key_value_heads", static_cast<std::uint64_t>(model.num_key_value_heads)},
          {"head_dim", static_cast<std::uint64_t>(model.head_dim)},
          {"max_position_embeddings", static_cast<std::uint64_t>(model.max_position_embeddings)},
          {"rms_norm_eps", model.rms_norm_eps},
          {"rope_theta", model.rope_theta},
          {"initializer_range", model.initializer_range},
          {"tie_word_embeddings", model.tie_word_embeddings}};
}

job::ModelConfig model_from_json(JsonObject object) {
  const auto dimension = [&object](const char* key) {
    return static_cast<std::int64_t>(object.integer(key, kMaxModelDimension));
  };
  if (object.text("model_type") != kModelType) object.fail("model_type", "\"llama\"");
  job::ModelConfig model;
  model.vocab_size = dimension("vocab_size");
  model.hidden_size = dimension("hidden_size");
  model.intermediate_size = dimension("intermediate_size");
  model.num_hidden_layers =
      static_cast<std::int64_t>(object.integer("num_hidden_layers", kMaxLayers));
  model.num_attention_heads = dimension("num_attention_heads");
  model.num_key_value_heads = dimension("num_key_value_heads");
  model.head_dim = dimension("head_dim");
  model.max_position_embeddings = dimension("max_position_embeddings");
  model.rms_norm_eps = positive(object, "rms_norm_eps");
  model.rope_theta = positive(object, "rope_theta");
  model.initializer_range = positive(object, "initializer_range");
  model.tie_word_embeddings = object.boolean("tie_word_embeddings");
  object.finish();
  return model;
}

json to_json(const RunState& run) {
  return {{"step", run.step.value()},
          {"cursor", run.cursor},
          {"model", to_json(run.model)},
          {"job", run.job},
          {"job_hash", run.job_hash},
          {"resume_hash", run.resume_hash},
          {"data_fingerprint", run.data_fingerprint}};
}

RunState run_from_json(JsonObject object) {
  RunState run;
  run.step = Step(object.integer("step"));
  run.cursor = object.integer("cursor");
  run.model = model_from_json(object.object("model"));
  run.job = object.text("job");
  run.job_hash = hash_or_empty(object, "job_hash");
  run.resume_hash = hash_or_empty(object, "resume_hash");
  run.data_fingerprint = hash_or_empty(object, "data_fingerprint");
  object.finish();
  return run;
}

json to_json(const job::StageSpan& span) {
  json value = {{"layer_begin", static_cast<std::uint64_t>(span.layer_begin)},
                {"layer_end", static_cast<std::uint64_t>(span.layer_end)},
                {"embedding", span.embedding},
                {"head", span.head}};
  if (cuts_a_layer(span)) {
    value["block_begin"] = static_cast<std::uint64_t>(span.block_begin());
    value["block_end"] = static_cast<std::uint64_t>(span.block_end());
  }
  return value;
}

// That the layers are those of the blocks is check_canonical()'s.
job::StageSpan span_from_json(JsonObject object) {
  const auto number = [&object](const char* key, std::uint64_t most) {
    return static_cast<std::int64_t>(object.integer(key, most));
  };
  job::StageSpan span;
  span.layer_begin = number("layer_begin", kMaxLayers);
  span.layer_end = number("layer_end", kMaxLayers);
  if (object.has("block_begin")) {
    constexpr std::uint64_t kMaxBlocks = kMaxLayers * job::kBlocksPerLayer;
    const std::int64_t begin = number("block_begin", kMaxBlocks);
    span = job::span_of_blocks(begin, number("block_end", kMaxBlocks));
  }
  span.embedding = object.boolean("embedding");
  span.head = object.boolean("head");
  object.finish();
  return span;
}

json to_json(const FileDigest& file) {
  return {{"name", file.name}, {"bytes", file.bytes.value()}, {"sha256", to_hex(file.sha256)}};
}

FileDigest file_digest_from_json(JsonObject object, const std::string& name) {
  FileDigest file;
  file.name = object.text("name");
  if (file.name != name) object.fail("name", "\"" + name + "\"");
  file.bytes = ByteCount(object.integer("bytes"));
  file.sha256 = object.sha256("sha256");
  object.finish();
  return file;
}

void check_span(const job::StageSpan& span, const job::ModelConfig& model, StageIndex stage,
                std::uint32_t stage_count, const std::string& where) {
  if (stage_count == 0 || stage_count > kMaxStages || stage.value() >= stage_count) {
    throw Error(ErrorKind::corrupt,
                fmt::format("{}: stage {} of {}, expected a stage below a count of 1 to {}", where,
                            stage.value(), stage_count, kMaxStages));
  }
  const bool first = stage.value() == 0;
  const bool last = stage.value() + 1 == stage_count;
  const std::int64_t blocks = job::kBlocksPerLayer * model.num_hidden_layers;
  const bool ordered = 0 <= span.block_begin() && span.block_begin() <= span.block_end() &&
                       span.block_end() <= blocks;
  const bool ends = (!first || span.block_begin() == 0) && (!last || span.block_end() == blocks);
  if (!ordered || !ends || span.embedding != first || span.head != last) {
    const auto part = [](bool cut, const char* text) { return cut ? text : ""; };
    throw Error(
        ErrorKind::corrupt,
        fmt::format("{}: stage {} of {} holds layers {} to {} of {}{}{}{}{}, which no cut of the "
                    "model gives it",
                    where, stage.value(), stage_count, span.layer_begin, span.layer_end,
                    model.num_hidden_layers,
                    part(span.mlp_first, ", the first without its attention part"),
                    part(span.attention_last, ", the last without its MLP part"),
                    part(span.embedding, ", the embedding"), part(span.head, ", the head")));
  }
}

void check_canonical(std::string_view text, const std::string& canonical,
                     const std::string& where) {
  if (text == canonical) return;
  const auto different = std::ranges::mismatch(text, canonical).in1 - text.begin();
  throw Error(ErrorKind::corrupt,
              fmt::format("{}: not in canonical form: byte {} differs", where, different));
}

void check_format(JsonObject& object, std::string_view format) {
  if (object.text("format") != format) object.fail("format", fmt::format("\"{}\"", format));
  const std::uint64_t version = object.integer("version");
  if (version < kFormatVersion || version > kExtendedVersion) {
    object.fail("version", fmt::format("{} to {} (a newer ptrain may read it)", kFormatVersion,
                                       kExtendedVersion));
  }
}

}  // namespace ptrain::ckpt
