#include "libcommon/job/model_config.h"

namespace ptrain::job {
namespace {

// Of one part of a decoder layer.
class BlockParameters {
 public:
  BlockParameters(std::vector<ParameterSpec>& list, const ModelConfig& model, std::int64_t layer)
      : list_(list), model_(model), layer_(layer) {}

  void append_attention() {
    const std::int64_t hidden = model_.hidden_size;
    const std::int64_t query = model_.num_attention_heads * model_.head_dim;
    const std::int64_t key_value = model_.num_key_value_heads * model_.head_dim;
    norm("input_layernorm");
    projection("self_attn.q_proj", query, hidden);
    projection("self_attn.k_proj", key_value, hidden);
    projection("self_attn.v_proj", key_value, hidden);
    projection("self_attn.o_proj", hidden, query);
  }

  void append_mlp() {
    const std::int64_t hidden = model_.hidden_size;
    norm("post_attention_layernorm");
    projection("mlp.gate_proj", model_.intermediate_size, hidden);
    projection("mlp.up_proj", model_.intermediate_size, hidden);
    projection("mlp.down_proj", hidden, model_.intermediate_size);
  }

 private:
  std::string full(const char* name) const {
    return "model.layers." + std::to_string(layer_) + "." + name + ".weight";
  }
  void norm(const char* name) {
    list_.push_back({full(name), {model_.hidden_size}, layer_, false});
  }
  void projection(const char* name, std::int64_t out, std::int64_t in) {
    list_.push_back({full(name), {out, in}, layer_, true});
  }

  std::vector<ParameterSpec>& list_;
  const ModelConfig& model_;
  std::int64_t layer_;
};

}  // namespace

std::vector<ParameterSpec> parameters(const ModelConfig& model) {
  return parameters(model, {0, model.num_hidden_layers, true, true});
}

std::vector<ParameterSpec> parameters(const ModelConfig& model, const StageSpan& span) {
  const ParameterSpec embedding{
      "model.embed_tokens.weight", {model.vocab_size, model.hidden_size}, std::nullopt, false};
  std::vector<ParameterSpec> list;
  if (span.embedding) list.push_back(embedding);
  for (std::int64_t block = span.block_begin(); block < span.block_end(); ++block) {
    BlockParameters parameters(list, model, block / kBlocksPerLayer);
    is_attention(block) ? parameters.append_attention() : parameters.append_mlp();
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
