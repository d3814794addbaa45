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

// A family of models that ptrain trains, as a file names it.
struct Family {
  const char* model_type;
  std::vector<json> architectures;
  json absent;  // what its keys are where they are absent, as far as Llama's are something else
};

// What transformers 4.45 and 5.24 take. A Mistral without a window is a Llama in all but name.
const std::vector<Family>& families() {
  static const std::vector<Family> list{
      // The second is what the first published models say.
      {"llama",
       {json::array({"LlamaForCausalLM"}), json::array({"LLaMAForCausalLM"})},
       json::object()},
      {"mistral",
       {json::array({"MistralForCausalLM"})},
       {{"num_key_value_heads", 8}, {"max_position_embeddings", 131072}, {"sliding_window", 4096}}},
  };
  return list;
}

bool is_among(const std::vector<json>& list, const json& value) {
  return std::ranges::find(list, value) != list.end();
}

// By whichever of the two keys the file has.
const Family& family_of(const json& config, std::string_view source) {
  const json type = config.value("model_type", json());
  const json made = config.value("architectures", json());
  bool known = type.is_null();
  for (const Family& family : families()) {
    if (!type.is_null() && type != family.model_type) continue;
    if (made.is_null() || is_among(family.architectures, made)) return family;
    known = true;
  }
  const std::string hint = "choose a plain Llama-style model";
  if (!known) {
    refuse(source, "model_type", type, "ptrain trains the families \"llama\" and \"mistral\"",
           hint);
  }
  refuse(source, "architectures", made,
         "ptrain trains LlamaForCausalLM, and MistralForCausalLM of model_type \"mistral\"", hint);
}

void refuse_window(const json& config, std::string_view source) {
  const json window = config.value("sliding_window", json());
  if (window.is_null()) return;
  refuse(
      source, "sliding_window", window, "ptrain's attention has no window",
      "choose a Mistral whose config.json says \"sliding_window\": null; where the key is absent, "
      "it has a window of 4096 tokens");
}

// What a key must be for ptrain to compute the model that the file describes; a key that is
// absent or null has an accepted value.
struct Unsupported {
  const char* key;
  std::vector<json> accepted;
  const char* problem;
};

// What LlamaConfig, LlamaForCausalLM and what they are made from read, in transformers 4.45
// and 5.24. What Mistral's read besides is a window.
const std::vector<Unsupported>& unsupported() {
  static const std::vector<Unsupported> list{
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
    if (is_among(feature.accepted, *found)) continue;
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
void flatten(const char* name, const json& table, json& config, std::string_view source) {
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
// job file's defaults; MistralConfig differs further, in its family's.
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
    if (!table.is_null()) flatten(name, table, config, source);
  }
  return config;
}

ModelConfig model_from_hf_json(const json& config, std::string_view source) {
  const json said = in_one_spelling(config, source);
  const Family& family = family_of(said, source);
  json flat = family.absent;
  flat.update(said);
  if (family.absent.contains("sliding_window")) refuse_window(flat, source);
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
