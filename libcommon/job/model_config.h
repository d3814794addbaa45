// The shape of a model of the Llama family, in Hugging Face's own key names, and
// the list of its parameters in canonical order. Pure values.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "libcommon/job/stage_span.h"

namespace ptrain::job {

struct ModelConfig {
  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 0;        // d
  std::int64_t intermediate_size = 0;  // of the SwiGLU
  std::int64_t num_hidden_layers = 0;
  std::int64_t num_attention_heads = 0;
  std::int64_t num_key_value_heads = 0;  // grouped-query attention where fewer than heads
  std::int64_t head_dim = 0;
  std::int64_t max_position_embeddings = 0;
  double rms_norm_eps = 1e-5;
  double rope_theta = 10000.0;
  double initializer_range = 0.02;
  bool tie_word_embeddings = false;

  bool operator==(const ModelConfig&) const = default;
};

struct ParameterSpec {
  std::string name;                   // Hugging Face's, e.g. model.layers.3.mlp.up_proj.weight
  std::vector<std::int64_t> shape;    // as Hugging Face stores it: [out, in] for projections
  std::optional<std::int64_t> layer;  // of the decoder layers; empty for embedding, norm, head
  bool decay = false;                 // weight decay applies: projections and head, not norms
                                      // and embeddings
  bool operator==(const ParameterSpec&) const = default;
};

// All parameters in canonical order: embedding, layers in order (input norm, q, k, v, o,
// post-attention norm, gate, up, down), final norm, head (absent when tied).
std::vector<ParameterSpec> parameters(const ModelConfig& model);

// The parameters that a stage holds, in canonical order. With a tied head a last stage that
// is not the first holds model.embed_tokens.weight as well, at its end.
std::vector<ParameterSpec> parameters(const ModelConfig& model, const StageSpan& span);

}  // namespace ptrain::job
