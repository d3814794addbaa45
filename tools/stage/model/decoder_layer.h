// One decoder layer of the Llama family, forward and backward:
//
//   m = x + attention(rope(norm1(x) Wqkv^T)) Wo^T
//   y = m + swiglu(norm2(m) Wgu^T) Wd^T
//
// Kept for the backward: x, the rotated q, k and v, the attention's output and log-sum-exp, m,
// and gate and up. The norms' outputs and the SwiGLU product are computed again.

#pragma once

#include <ATen/ATen.h>

#include "libcommon/job/model_config.h"
#include "tools/stage/model/ops.h"
#include "tools/stage/model/parameter_store.h"

namespace ptrain::stage {

struct LayerWeights {
  Weight input_norm;
  Weight query_key_value;
  Weight output;
  Weight post_norm;
  Weight gate_up;
  Weight down;

  static constexpr std::size_t kParameters = 9;
  // Of the layer whose parameters start at `first` in the store.
  LayerWeights(const ParameterStore& store, std::size_t first);
};

// The sizes of everything in a layer for microbatches of one shape.
struct LayerShape {
  AttentionShape attention;
  std::int64_t hidden = 0;        // d
  std::int64_t intermediate = 0;  // f
  double eps = 0.0;

  LayerShape(const job::ModelConfig& config, std::int64_t batch, std::int64_t tokens);
  std::int64_t rows() const { return attention.batch * attention.tokens; }
};

// What a layer's backward reads, besides its input.
struct LayerActivations {
  at::Tensor query_key_value;   // [n, qkv_width], rotated
  at::Tensor attention_output;  // [n, out_width]
  at::Tensor log_sum_exp;       // [batch, heads, tokens]
  at::Tensor residual;          // [n, d], after the attention
  at::Tensor gate_up;           // [n, 2 f]

  LayerActivations(const LayerShape& shape, at::TensorOptions compute, at::TensorOptions master);
};

// Buffers that no layer needs beyond its own forward or backward.
struct LayerScratch {
  at::Tensor normed;              // [n, d]
  at::Tensor product;             // [n, f], the SwiGLU's output or its gradient
  at::Tensor d_gate_up;           // [n, 2 f]
  at::Tensor d_normed;            // [n, d]
  at::Tensor d_residual;          // [n, d]
  at::Tensor d_attention_output;  // [n, out_width]
  at::Tensor d_query_key_value;

  LayerScratch(const LayerShape& shape, at::TensorOptions compute);
};

// One layer bound to what it computes with. Borrows everything; made for a single call.
struct DecoderLayer {
  Ops& ops;
  const LayerShape& shape;
  const RopeTable& rope;
  const LayerWeights& weights;
  LayerActivations& kept;
  LayerScratch& scratch;

  void forward(const at::Tensor& x, at::Tensor y);
  // Fills `kept` again from x, with the bits that forward left there.
  void recompute(const at::Tensor& x);
  // Accumulates the weights' gradients; dx may be dy.
  void backward(const at::Tensor& x, const at::Tensor& dy, at::Tensor dx);

 private:
  void attention_backward(const at::Tensor& x, at::Tensor dx);
};

}  // namespace ptrain::stage
