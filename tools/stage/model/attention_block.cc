#include "tools/stage/model/attention_block.h"

namespace ptrain::stage {

AttentionWeights::AttentionWeights(const ParameterStore& store, std::size_t first)
    : norm(store.weight(first)),
      query_key_value(store.fused(first + 1, 3)),
      output(store.weight(first + 4)) {}

AttentionActivations::AttentionActivations(const LayerShape& shape, at::TensorOptions compute,
                                           at::TensorOptions master)
    : query_key_value(at::empty({shape.rows(), shape.attention.qkv_width()}, compute)),
      attention_output(at::empty({shape.rows(), shape.attention.out_width()}, compute)),
      log_sum_exp(at::empty({shape.attention.batch, shape.attention.heads, shape.attention.tokens},
                            master)) {}

AttentionGradients::AttentionGradients(const LayerShape& shape, at::TensorOptions compute)
    : d_attention_output(at::empty({shape.rows(), shape.attention.out_width()}, compute)),
      d_query_key_value(at::empty({shape.rows(), shape.attention.qkv_width()}, compute)) {}

void AttentionBlock::recompute(const at::Tensor& x) {
  ops.rms_norm(x, weights.norm.value, shape.eps, scratch.normed);
  ops.linear(scratch.normed, weights.query_key_value.value, {}, kept.query_key_value);
  ops.rope(kept.query_key_value, rope, shape.attention, Rotation::forward);
  ops.attention(kept.query_key_value, shape.attention, kept.attention_output, kept.log_sum_exp);
}

void AttentionBlock::forward(const at::Tensor& x, at::Tensor y) {
  recompute(x);
  ops.linear(kept.attention_output, weights.output.value, x, y);
}

void AttentionBlock::input_gradient(const at::Tensor& x, const at::Tensor& dy, at::Tensor dx) {
  ops.linear_input_gradient(dy, weights.output.value, gradients.d_attention_output);
  ops.attention_backward(gradients.d_attention_output, kept.query_key_value, kept.attention_output,
                         kept.log_sum_exp, shape.attention, gradients.d_query_key_value);
  ops.rope(gradients.d_query_key_value, rope, shape.attention, Rotation::backward);
  ops.linear_input_gradient(gradients.d_query_key_value, weights.query_key_value.value,
                            scratch.d_normed);
  ops.rms_norm_backward(scratch.d_normed, x, weights.norm.value, shape.eps, dy, dx,
                        weights.norm.grad);
}

void AttentionBlock::weight_gradient(const at::Tensor& x, const at::Tensor& dy) {
  ops.linear_weight_gradient(dy, kept.attention_output, weights.output.grad);
  ops.rms_norm(x, weights.norm.value, shape.eps, scratch.normed);
  ops.linear_weight_gradient(gradients.d_query_key_value, scratch.normed,
                             weights.query_key_value.grad);
}

}  // namespace ptrain::stage
