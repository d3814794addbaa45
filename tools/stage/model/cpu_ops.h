// The model's arithmetic on the CPU: the fused kernels of kernels/ and MatrixProduct.
// float32, or bfloat16 with float32 inside. Owns scratch that grows to the largest shape seen.

#pragma once

#include "tools/stage/model/matrix_product.h"
#include "tools/stage/model/ops.h"

namespace ptrain::stage {

// T is how activations are stored: float or kernels::Bf16.
template <class T>
class CpuOps final : public Ops {
 public:
  CpuOps() = default;
  // With another way to multiply bfloat16 than this processor's.
  explicit CpuOps(Bfloat16Products bfloat16) : product_(bfloat16) {}

  at::TensorOptions compute() const override;
  at::TensorOptions master() const override;

  void linear(const at::Tensor& x, const at::Tensor& w, const at::Tensor& residual,
              at::Tensor y) override;
  void logits(const at::Tensor& x, const at::Tensor& w, at::Tensor y) override;
  void linear_input_gradient(const at::Tensor& dy, const at::Tensor& w, at::Tensor dx) override;
  void linear_weight_gradient(const at::Tensor& dy, const at::Tensor& x, at::Tensor dw) override;
  void rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps, at::Tensor y) override;
  void rms_norm_backward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight,
                         double eps, const at::Tensor& residual, at::Tensor dx,
                         at::Tensor dweight) override;
  void rope(at::Tensor qkv, const RopeTable& table, const AttentionShape& shape,
            Rotation rotation) override;
  void attention(const at::Tensor& qkv, const AttentionShape& shape, at::Tensor out,
                 at::Tensor log_sum_exp) override;
  void attention_backward(const at::Tensor& d_out, const at::Tensor& qkv, const at::Tensor& out,
                          const at::Tensor& log_sum_exp, const AttentionShape& shape,
                          at::Tensor d_qkv) override;
  void swiglu(const at::Tensor& gate_up, at::Tensor out) override;
  void swiglu_backward(const at::Tensor& gate_up, at::Tensor product,
                       at::Tensor d_gate_up) override;
  void embedding(const at::Tensor& tokens, const at::Tensor& table, at::Tensor out) override;
  void embedding_backward(const at::Tensor& tokens, const at::Tensor& d_out,
                          at::Tensor d_table) override;
  double cross_entropy(at::Tensor logits, const at::Tensor& targets, double scale,
                       at::Tensor d_logits) override;
  void to_compute(const at::Tensor& value, at::Tensor compute) override;
  std::int64_t scratch_bytes(const AttentionShape& shape) const override;

 private:
  float* scratch(std::int64_t floats);

  MatrixProduct product_;
  at::Tensor scratch_;
  at::Tensor losses_;  // float64, one a row
};

}  // namespace ptrain::stage
