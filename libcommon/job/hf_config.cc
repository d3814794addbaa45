#include "libcommon/job/hf_config.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "libcommon/base/error.h"
#include "libcommon/job/job_checks.h"
#include "libcommon/job/job_keys.h"

namespace ptrain::job {
namespace {

using nlohmann::json;

constexpr std::string_view kModelTable = "model.";

[[noreturn]] void refuse(std::string_view source, std::string_view key, const json& value,
                         std::string_view problem, const std::string& hint = "") {
  throw Error(ErrorKind::usage, fmt::format("{}: {} = {}: {}", source, key, shown(value), problem),
              hint);
}

// What a key must be for ptrain to compute the model that the file describes; a key that is
// absent or null has the accepted value.
struct Unsupported {
  const char* key;
  json accepted;
  const char* problem;
};

const std::vector<Unsupported>& unsupported() {
  static const std::vector<Unsupported> list{
      {"model_type", "llama", "ptrain trains the family \"llama\""},
      {"hidden_act", "silu", "ptrain computes \"silu\""},
      {"attention_bias", false, "ptrain's projections have no bias"},
      {"mlp_bias", false, "ptrain's projections have no bias"},
      {"attention_dropout", 0.0, "ptrain has no dropout"},
      {"rope_scaling", nullptr, "ptrain does not scale rotary embeddings"},
      {"partial_rotary_factor", 1.0, "ptrain rotates all dimensions of a head"},
      {"quantization_config", nullptr, "ptrain trains models that are not quantised"},
      {"is_encoder_decoder", false, "ptrain trains decoders"},
  };
  return list;
}

void refuse_unsupported(const json& config, std::string_view source) {
  for (const Unsupported& feature : unsupported()) {
    const auto found = config.find(feature.key);
    if (found == config.end() || found->is_null() || *found == feature.accepted) continue;
    refuse(source, feature.key, *found, feature.problem, "choose a plain Llama-style model");
  }
}

// transformers 5 moved rope_theta into a table that also names the kind of scaling.
json with_rope_theta_on_top(const json& config, std::string_view source) {
  json flat = config;
  const auto rope = config.find("rope_parameters");
  if (rope == config.end() || rope->is_null()) return flat;
  if (!rope->is_object() || rope->value("rope_type", json("default")) != "default") {
    refuse(source, "rope_parameters", *rope, "ptrain does not scale rotary embeddings");
  }
  if (rope->contains("rope_theta") && !flat.contains("rope_theta"))
    flat["rope_theta"] = rope->at("rope_theta");
  return flat;
}

// What transformers' LlamaConfig takes for keys that are absent, where that differs from a
// job file's defaults.
ModelConfig hugging_face_defaults() {
  ModelConfig model;
  model.rms_norm_eps = 1e-6;
  model.max_position_embeddings = 2048;
  return model;
}

std::string_view leaf(const JobKey& key) {
  return std::string_view(key.name).substr(kModelTable.size());
}

}  // namespace

ModelConfig model_from_hf_json(const json& config, std::string_view source) {
  if (!config.is_object()) {
    throw Error(ErrorKind::usage, fmt::format("{}: expected a JSON object", source));
  }
  refuse_unsupported(config, source);
  const json flat = with_rope_theta_on_top(config, source);

  Job holder;
  holder.model = hugging_face_defaults();
  for (const JobKey& key : job_keys()) {
    if (!key.name.starts_with(kModelTable) || key.name == "model.config") continue;
    const auto found = flat.find(leaf(key));
    if (found == flat.end() || found->is_null()) {
      if (!key.required) continue;
      throw Error(ErrorKind::usage, fmt::format("{}: {} is missing", source, leaf(key)),
                  fmt::format("it is the {}", key.meaning));
    }
    if (const auto problem = key.assign(holder, *found)) {
      refuse(source, leaf(key), *found, *problem);
    }
  }
  derive(holder.model);
  if (const auto complaint = check(holder.model)) {
    const JobKey& key = *find_job_key(complaint->keys.front());
    refuse(source, leaf(key), key.read(holder), complaint->problem, complaint->hint);
  }
  return holder.model;
}

nlohmann::ordered_json model_to_hf_json(const ModelConfig& model) {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"model_type", "llama"},
          {"vocab_size", model.vocab_size},
          {"hidden_size", model.hidden_size},
          {"intermediate_size", model.intermediate_size},
          {"num_hidden_layers", model.num_hidden_layers},
          {"num_attention_heads", model.num_attention_heads},
          {"num_key_value_heads", model.num_key_value_heads},
          {"head_dim", model.head_dim},
          {"max_position_embeddings", model.max_position_embeddings},
          {"rms_norm_eps", model.rms_norm_eps},
          {"rope_theta", model.rope_theta},
          {"rope_scaling", nullptr},
          {"initializer_range", model.initializer_range},
          {"tie_word_embeddings", model.tie_word_embeddings},
          {"hidden_act", "silu"},
          {"attention_bias", false},
          {"attention_dropout", 0.0},
          {"mlp_bias", false},
          // transformers would otherwise assume the ids of Llama's own tokenizer.
          {"bos_token_id", nullptr},
          {"eos_token_id", nullptr},
          {"use_cache", true},
          {"torch_dtype", "float32"}};
}

}  // namespace ptrain::job
