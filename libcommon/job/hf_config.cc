#include "libcommon/job/hf_config.h"

#include <algorithm>
#include <span>
#include <vector>

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
// absent or null has an accepted value.
struct Unsupported {
  const char* key;
  std::vector<json> accepted;
  const char* problem;
};

// What LlamaConfig, LlamaForCausalLM and what they are made from read, in transformers 4.45
// and 5.24.
const std::vector<Unsupported>& unsupported() {
  static const std::vector<Unsupported> list{
      // The second is what the first published models say.
      {"architectures",
       {json::array({"LlamaForCausalLM"}), json::array({"LLaMAForCausalLM"})},
       "ptrain trains LlamaForCausalLM"},
      {"model_type", {"llama"}, "ptrain trains the family \"llama\""},
      {"hidden_act", {"silu", "swish"}, "ptrain computes \"silu\""},  // two names of one function
      {"attention_bias", {false}, "ptrain's projections have no bias"},
      {"mlp_bias", {false}, "ptrain's projections have no bias"},
      {"attention_dropout", {0.0}, "ptrain has no dropout"},
      {"partial_rotary_factor", {1.0}, "ptrain rotates all dimensions of a head"},
      {"pruned_heads", {json::object()}, "ptrain's layers have all their heads"},
      {"per_layer_config", {json::object()}, "ptrain's layers are all alike"},
      {"quantization_config", {}, "ptrain trains models that are not quantised"},
      {"is_encoder_decoder", {false}, "ptrain trains decoders"},
  };
  return list;
}

void refuse_unsupported(const json& config, std::string_view source) {
  for (const Unsupported& feature : unsupported()) {
    const auto found = config.find(feature.key);
    if (found == config.end() || found->is_null()) continue;
    if (std::ranges::find(feature.accepted, *found) != feature.accepted.end()) continue;
    refuse(source, feature.key, *found, feature.problem, "choose a plain Llama-style model");
  }
}

// The table of rotary embeddings in transformers' newest and older spelling, and the key in it that
// names the kind of scaling.
constexpr const char* kRopeTables[] = {"rope_parameters", "rope_scaling"};
constexpr const char* kRopeTypes[] = {"rope_type", "type"};
constexpr const char* kUnscaled = "default";
// What else the table of an unscaled embedding may hold. transformers before 5 knows these two
// beside the table only.
constexpr const char* kAlsoBesideTheTable[] = {"rope_theta", "partial_rotary_factor"};

bool is_one_of(std::string_view name, std::span<const char* const> names) {
  return std::ranges::any_of(names, [&](const char* n) { return name == n; });
}

// Moves what a table of rotary embeddings says to its place beside the table.
void spread(const char* name, const json& table, json& config, std::string_view source) {
  if (!table.is_object()) refuse(source, name, table, "expected a table");
  for (const auto& [key, value] : table.items()) {
    if (value.is_null()) continue;
    const bool scaled =
        is_one_of(key, kRopeTypes) ? value != kUnscaled : !is_one_of(key, kAlsoBesideTheTable);
    if (scaled) {
      refuse(source, name, table, "ptrain does not scale rotary embeddings",
             fmt::format("remove {} if they are not scaled", key));
    }
    if (is_one_of(key, kRopeTypes)) continue;
    json& beside = config[key];
    if (!beside.is_null() && beside != value) {
      refuse(source, fmt::format("{}.{}", name, key), value,
             fmt::format("the file says {} = {} as well", key, shown(beside)),
             "remove one of them: transformers 5 takes the one in the table, older ones the other");
    }
    beside = value;
  }
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

json in_one_spelling(json config, std::string_view source) {
  if (!config.is_object()) {
    throw Error(ErrorKind::usage, fmt::format("{}: expected a JSON object", source));
  }
  for (const char* name : kRopeTables) {
    const json table = config.value(name, json());
    config.erase(name);
    if (!table.is_null()) spread(name, table, config, source);
  }
  return config;
}

ModelConfig model_from_hf_json(const json& config, std::string_view source) {
  const json flat = in_one_spelling(config, source);
  refuse_unsupported(flat, source);

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
