#include "libcommon/job/model_config.h"

namespace ptrain::job {
namespace {

void append_layer(std::vector<ParameterSpec>& list, const ModelConfig& m, std::int64_t layer) {
  const std::int64_t query = m.num_attention_heads * m.head_dim;
  const std::int64_t key_value = m.num_key_value_heads * m.head_dim;
  const std::string prefix = "model.layers." + std::to_string(layer) + ".";
  const auto norm = [&](const char* name) {
    list.push_back({prefix + name + ".weight", {m.hidden_size}, layer, false});
  };
  const auto projection = [&](const char* name, std::int64_t out, std::int64_t in) {
    list.push_back({prefix + name + ".weight", {out, in}, layer, true});
  };
  norm("input_layernorm");
  projection("self_attn.q_proj", query, m.hidden_size);
  projection("self_attn.k_proj", key_value, m.hidden_size);
  projection("self_attn.v_proj", key_value, m.hidden_size);
  projection("self_attn.o_proj", m.hidden_size, query);
  norm("post_attention_layernorm");
  projection("mlp.gate_proj", m.intermediate_size, m.hidden_size);
  projection("mlp.up_proj", m.intermediate_size, m.hidden_size);
  projection("mlp.down_proj", m.hidden_size, m.intermediate_size);
}

}  // namespace

std::vector<ParameterSpec> parameters(const ModelConfig& model) {
  return parameters(model, {0, model.num_hidden_layers, true, true});
}

std::vector<ParameterSpec> parameters(const ModelConfig& model, const StageSpan& span) {
  const ParameterSpec embedding{
      "model.embed_tokens.weight", {model.vocab_size, model.hidden_size}, std::nullopt, false};
  std::vector<ParameterSpec> list;
  if (span.embedding) list.push_back(embedding);
  for (std::int64_t layer = span.layer_begin; layer < span.layer_end; ++layer) {
    append_layer(list, model, layer);
  }
  if (span.head) {
    list.push_back({"model.norm.weight", {model.hidden_size}, std::nullopt, false});
    if (!model.tie_word_embeddings) {
      list.push_back({"lm_head.weight", {model.vocab_size, model.hidden_size}, std::nullopt, true});
    } else if (!span.embedding) {
      list.push_back(embedding);
    }
  }
  return list;
}

}  // namespace ptrain::job
