#include "tools/stage/model/mlp_block.h"

namespace ptrain::stage {

MlpWeights::MlpWeights(const ParameterStore& store, std::size_t first)
    : norm(store.weight(first)),
      gate_up(store.fused(first + 1, 2)),
      down(store.weight(first + 3)) {}

MlpActivations::MlpActivations(const LayerShape& shape, at::TensorOptions compute)
    : gate_up(at::empty({shape.rows(), 2 * shape.intermediate}, compute)) {}

MlpGradients::MlpGradients(const LayerShape& shape, at::TensorOptions compute)
    : product(at::empty({shape.rows(), shape.intermediate}, compute)),
      d_gate_up(at::empty({shape.rows(), 2 * shape.intermediate}, compute)) {}

void MlpBlock::recompute(const at::Tensor& x) {
  ops.rms_norm(x, weights.norm.value, shape.eps, scratch.normed);
  ops.linear(scratch.normed, weights.gate_up.value, {}, kept.gate_up);
}

void MlpBlock::forward(const at::Tensor& x, at::Tensor y) {
  recompute(x);
  ops.swiglu(kept.gate_up, gradients.product);
  ops.linear(gradients.product, weights.down.value, x, y);
}

void MlpBlock::input_gradient(const at::Tensor& x, const at::Tensor& dy, at::Tensor dx) {
  ops.linear_input_gradient(dy, weights.down.value, gradients.product);
  ops.swiglu_backward(kept.gate_up, gradients.product, gradients.d_gate_up);
  ops.linear_input_gradient(gradients.d_gate_up, weights.gate_up.value, scratch.d_normed);
  ops.rms_norm_backward(scratch.d_normed, x, weights.norm.value, shape.eps, dy, dx,
                        weights.norm.grad);
}

void MlpBlock::weight_gradient(const at::Tensor& x, const at::Tensor& dy) {
  ops.linear_weight_gradient(dy, gradients.product, weights.down.grad);
  ops.rms_norm(x, weights.norm.value, shape.eps, scratch.normed);
  ops.linear_weight_gradient(gradients.d_gate_up, scratch.normed, weights.gate_up.grad);
}

}  // namespace ptrain::stage
