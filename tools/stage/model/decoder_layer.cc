#include "tools/stage/model/decoder_layer.h"

namespace ptrain::stage {

LayerWeights::LayerWeights(const ParameterStore& store, std::size_t first)
    : input_norm(store.weight(first)),
      query_key_value(store.fused(first + 1, 3)),
      output(store.weight(first + 4)),
      post_norm(store.weight(first + 5)),
      gate_up(store.fused(first + 6, 2)),
      down(store.weight(first + 8)) {}

LayerShape::LayerShape(const job::ModelConfig& config, std::int64_t batch, std::int64_t tokens)
    : attention{.batch = batch,
                .tokens = tokens,
                .heads = config.num_attention_heads,
                .key_value_heads = config.num_key_value_heads,
                .head_dim = config.head_dim},
      hidden(config.hidden_size),
      intermediate(config.intermediate_size),
      eps(config.rms_norm_eps) {}

LayerActivations::LayerActivations(const LayerShape& shape, at::TensorOptions compute,
                                   at::TensorOptions master)
    : query_key_value(at::empty({shape.rows(), shape.attention.qkv_width()}, compute)),
      attention_output(at::empty({shape.rows(), shape.attention.out_width()}, compute)),
      log_sum_exp(at::empty({shape.attention.batch, shape.attention.heads, shape.attention.tokens},
                            master)),
      residual(at::empty({shape.rows(), shape.hidden}, compute)),
      gate_up(at::empty({shape.rows(), 2 * shape.intermediate}, compute)) {}

LayerScratch::LayerScratch(const LayerShape& shape, at::TensorOptions compute)
    : normed(at::empty({shape.rows(), shape.hidden}, compute)),
      product(at::empty({shape.rows(), shape.intermediate}, compute)),
      d_gate_up(at::empty({shape.rows(), 2 * shape.intermediate}, compute)),
      d_normed(at::empty({shape.rows(), shape.hidden}, compute)),
      d_residual(at::empty({shape.rows(), shape.hidden}, compute)),
      d_attention_output(at::empty({shape.rows(), shape.attention.out_width()}, compute)),
      d_query_key_value(at::empty({shape.rows(), shape.attention.qkv_width()}, compute)) {}

void DecoderLayer::recompute(const at::Tensor& x) {
  ops.rms_norm(x, weights.input_norm.value, shape.eps, scratch.normed);
  ops.linear(scratch.normed, weights.query_key_value.value, {}, kept.query_key_value);
  ops.rope(kept.query_key_value, rope, shape.attention, Rotation::forward);
  ops.attention(kept.query_key_value, shape.attention, kept.attention_output, kept.log_sum_exp);
  ops.linear(kept.attention_output, weights.output.value, x, kept.residual);

  ops.rms_norm(kept.residual, weights.post_norm.value, shape.eps, scratch.normed);
  ops.linear(scratch.normed, weights.gate_up.value, {}, kept.gate_up);
}

void DecoderLayer::forward(const at::Tensor& x, at::Tensor y) {
  recompute(x);
  ops.swiglu(kept.gate_up, scratch.product);
  ops.linear(scratch.product, weights.down.value, kept.residual, y);
}

void DecoderLayer::backward(const at::Tensor& x, const at::Tensor& dy, at::Tensor dx) {
  ops.linear_input_gradient(dy, weights.down.value, scratch.product);
  ops.swiglu_backward(kept.gate_up, scratch.product, scratch.d_gate_up);
  ops.linear_weight_gradient(dy, scratch.product, weights.down.grad);

  ops.rms_norm(kept.residual, weights.post_norm.value, shape.eps, scratch.normed);
  ops.linear_weight_gradient(scratch.d_gate_up, scratch.normed, weights.gate_up.grad);
  ops.linear_input_gradient(scratch.d_gate_up, weights.gate_up.value, scratch.d_normed);
  ops.rms_norm_backward(scratch.d_normed, kept.residual, weights.post_norm.value, shape.eps, dy,
                        scratch.d_residual, weights.post_norm.grad);
  attention_backward(x, dx);
}

// From the gradient of the residual stream after the attention, scratch.d_residual.
void DecoderLayer::attention_backward(const at::Tensor& x, at::Tensor dx) {
  ops.linear_weight_gradient(scratch.d_residual, kept.attention_output, weights.output.grad);
  ops.linear_input_gradient(scratch.d_residual, weights.output.value, scratch.d_attention_output);
  ops.attention_backward(scratch.d_attention_output, kept.query_key_value, kept.attention_output,
                         kept.log_sum_exp, shape.attention, scratch.d_query_key_value);
  ops.rope(scratch.d_query_key_value, rope, shape.attention, Rotation::backward);

  ops.rms_norm(x, weights.input_norm.value, shape.eps, scratch.normed);
  ops.linear_weight_gradient(scratch.d_query_key_value, scratch.normed,
                             weights.query_key_value.grad);
  ops.linear_input_gradient(scratch.d_query_key_value, weights.query_key_value.value,
                            scratch.d_normed);
  ops.rms_norm_backward(scratch.d_normed, x, weights.input_norm.value, shape.eps,
                        scratch.d_residual, dx, weights.input_norm.grad);
}

}  // namespace ptrain::stage
