// The second block of a decoder layer, forward and backward:
//
//   y = x + swiglu(norm(x) Wgu^T) Wd^T
//
// Kept for the backward: x, and gate and up. The norm's output and the SwiGLU's are computed again.
// The backward is in two parts, as in attention_block.h.

#pragma once

#include <cstddef>

#include <ATen/ATen.h>

#include "tools/stage/model/layer_shape.h"
#include "tools/stage/model/ops.h"
#include "tools/stage/model/parameter_store.h"

namespace ptrain::stage {

struct MlpWeights {
  Weight norm;
  Weight gate_up;
  Weight down;

  static constexpr std::size_t kParameters = 4;
  // Of the block whose parameters start at `first` in the store.
  MlpWeights(const ParameterStore& store, std::size_t first);
};

// What the backward reads, besides the input.
struct MlpActivations {
  at::Tensor gate_up;  // [n, 2 f]

  MlpActivations(const LayerShape& shape, at::TensorOptions compute);
};

// What the weight gradient reads of what the input gradient computed. The forward takes `product`
// for itself.
struct MlpGradients {
  at::Tensor product;    // [n, f], the SwiGLU's output
  at::Tensor d_gate_up;  // [n, 2 f]

  MlpGradients(const LayerShape& shape, at::TensorOptions compute);
};

// Bound to what it computes with. Borrows everything; made for a single call.
struct MlpBlock {
  Ops& ops;
  const LayerShape& shape;
  const MlpWeights& weights;
  MlpActivations& kept;
  MlpGradients& gradients;
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
