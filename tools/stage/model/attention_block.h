// The first block of a decoder layer, forward and backward:
//
//   y = x + attention(rope(norm(x) Wqkv^T)) Wo^T
//
// Kept for the backward: x, the rotated q, k and v, and the attention's output and log-sum-exp.
// The norm's output is computed again.
//
// The backward is in two parts, so that who waits for the input's gradient need not wait for the
// weights': input_gradient(), and then, whenever that suits, weight_gradient() of the same
// microbatch. Only the norm's weight is the first part's, because one pass computes both.

#pragma once

#include <cstddef>

#include <ATen/ATen.h>

#include "tools/stage/model/layer_shape.h"
#include "tools/stage/model/ops.h"
#include "tools/stage/model/parameter_store.h"

namespace ptrain::stage {

struct AttentionWeights {
  Weight norm;
  Weight query_key_value;
  Weight output;

  static constexpr std::size_t kParameters = 5;
  // Of the block whose parameters start at `first` in the store.
  AttentionWeights(const ParameterStore& store, std::size_t first);
};

// What the backward reads, besides the input.
struct AttentionActivations {
  at::Tensor query_key_value;   // [n, qkv_width], rotated
  at::Tensor attention_output;  // [n, out_width]
  at::Tensor log_sum_exp;       // [batch, heads, tokens]

  AttentionActivations(const LayerShape& shape, at::TensorOptions compute,
                       at::TensorOptions master);
};

// What the weight gradient reads of what the input gradient computed.
struct AttentionGradients {
  at::Tensor d_attention_output;  // [n, out_width], read by the input gradient alone
  at::Tensor d_query_key_value;   // [n, qkv_width]

  AttentionGradients(const LayerShape& shape, at::TensorOptions compute);
};

// Bound to what it computes with. Borrows everything; made for a single call.
struct AttentionBlock {
  Ops& ops;
  const LayerShape& shape;
  const RopeTable& rope;
  const AttentionWeights& weights;
  AttentionActivations& kept;
  AttentionGradients& gradients;
  BlockScratch& scratch;

  void forward(const at::Tensor& x, at::Tensor y);
  // Fills `kept` again from x, with the bits that forward left there.
  void recompute(const at::Tensor& x);
  // dx is not dy. Fills `gradients`, and accumulates the gradient of the norm's weight.
  void input_gradient(const at::Tensor& x, const at::Tensor& dy, at::Tensor dx);
  // Accumulates the other weights' gradients.
  void weight_gradient(const at::Tensor& x, const at::Tensor& dy);
};

}  // namespace ptrain::stage
