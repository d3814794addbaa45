// An independent implementation of the Llama family for tests: ATen with autograd, float64,
// written from the architecture's formulas and sharing no code with tools/stage.

#pragma once

#include <cmath>
#include <limits>
#include <map>
#include <string>

#include <ATen/ATen.h>

#include "libcommon/job/model_config.h"
#include "tools/stage/model/parameter.h"

namespace ptrain::stage::reference {

using Weights = std::map<std::string, at::Tensor>;

// Float64 leaves with the parameters' values.
inline Weights leaves(const std::vector<Parameter>& parameters) {
  Weights weights;
  for (const Parameter& p : parameters) {
    weights[p.spec.name] = p.value.to(at::kCPU, at::kDouble).clone().requires_grad_(true);
  }
  return weights;
}

inline at::Tensor norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  return x / (x.pow(2).mean(-1, true) + eps).sqrt() * weight;
}

// Hugging Face's apply_rotary_pos_emb: x cos + rotate_half(x) sin.
inline at::Tensor rotate(const at::Tensor& x, double theta) {
  const std::int64_t head_dim = x.size(-1);
  const std::int64_t tokens = x.size(-2);
  const at::Tensor inverse =
      1.0 / at::pow(theta, at::arange(0, head_dim, 2, at::kDouble) / double(head_dim));
  const at::Tensor half = at::outer(at::arange(tokens, at::kDouble), inverse);
  const at::Tensor angle = at::cat({half, half}, -1);
  const at::Tensor first = x.narrow(-1, 0, head_dim / 2);
  const at::Tensor second = x.narrow(-1, head_dim / 2, head_dim / 2);
  return x * angle.cos() + at::cat({-second, first}, -1) * angle.sin();
}

inline at::Tensor attention(const at::Tensor& x, const Weights& w, const std::string& prefix,
                            const job::ModelConfig& c) {
  const std::int64_t b = x.size(0), t = x.size(1);
  const auto project = [&](const char* name, std::int64_t heads) {
    return at::matmul(x, w.at(prefix + name + ".weight").t())
        .view({b, t, heads, c.head_dim})
        .transpose(1, 2);
  };
  const at::Tensor q = rotate(project("q_proj", c.num_attention_heads), c.rope_theta);
  at::Tensor k = rotate(project("k_proj", c.num_key_value_heads), c.rope_theta);
  at::Tensor v = project("v_proj", c.num_key_value_heads);
  const std::int64_t group = c.num_attention_heads / c.num_key_value_heads;
  k = k.repeat_interleave(group, 1);
  v = v.repeat_interleave(group, 1);
  const at::Tensor later = at::ones({t, t}, at::kBool).triu(1);
  const at::Tensor p = (at::matmul(q, k.transpose(-1, -2)) / std::sqrt(double(c.head_dim)))
                           .masked_fill(later, -std::numeric_limits<double>::infinity())
                           .softmax(-1);
  const at::Tensor output = at::matmul(p, v).transpose(1, 2).reshape({b, t, -1});
  return at::matmul(output, w.at(prefix + "o_proj.weight").t());
}

inline at::Tensor layer(const at::Tensor& x, const Weights& w, std::int64_t index,
                        const job::ModelConfig& c) {
  const std::string prefix = "model.layers." + std::to_string(index) + ".";
  const auto weight = [&](const char* name) { return w.at(prefix + name + ".weight"); };
  const at::Tensor m = x + attention(norm(x, weight("input_layernorm"), c.rms_norm_eps), w,
                                     prefix + "self_attn.", c);
  const at::Tensor h = norm(m, weight("post_attention_layernorm"), c.rms_norm_eps);
  const at::Tensor gate = at::matmul(h, weight("mlp.gate_proj").t());
  const at::Tensor up = at::matmul(h, weight("mlp.up_proj").t());
  return m + at::matmul(at::silu(gate) * up, weight("mlp.down_proj").t());
}

// The sum of the cross-entropy over all targets, in nats.
inline at::Tensor loss(const at::Tensor& tokens, const at::Tensor& targets, const Weights& w,
                       const job::ModelConfig& c) {
  at::Tensor x = at::embedding(w.at("model.embed_tokens.weight"), tokens.to(at::kLong));
  for (std::int64_t i = 0; i < c.num_hidden_layers; ++i) x = layer(x, w, i, c);
  x = norm(x, w.at("model.norm.weight"), c.rms_norm_eps);
  const char* head = c.tie_word_embeddings ? "model.embed_tokens.weight" : "lm_head.weight";
  const at::Tensor logits = at::matmul(x, w.at(head).t()).view({-1, c.vocab_size});
  return -logits.log_softmax(-1).gather(1, targets.to(at::kLong).view({-1, 1})).sum();
}

}  // namespace ptrain::stage::reference
