// The arithmetic of the model as an interface: the seam between the layers, which say what is
// computed in which order, and the device that computes it.
//
// Two implementations: cpu_ops.h (fused kernels and oneDNN) and generic_ops.h (plain ATen, any
// device and dtype). Matrices are [rows, columns], contiguous, one row for each token of the
// microbatch; outputs are allocated by the caller and overwritten unless "+=" says otherwise.
// x, y and their gradients are in the compute dtype, weight gradients and the weights of the
// norms in the master dtype (float32). Not thread-safe: implementations own scratch memory.

#pragma once

#include <cstdint>
#include <memory>

#include <ATen/ATen.h>

#include "libcommon/job/job.h"
#include "tools/stage/kernels/kernels.h"
#include "tools/stage/model/rope_table.h"

namespace ptrain::stage {

using kernels::AttentionShape;

enum class Rotation { forward, backward };

class Ops {
 public:
  virtual ~Ops() = default;

  virtual at::TensorOptions compute() const = 0;  // dtype and device of activations
  virtual at::TensorOptions master() const = 0;   // of master weights and gradients

  // y = x w^T (+ residual, where defined), w [out, in].
  virtual void linear(const at::Tensor& x, const at::Tensor& w, const at::Tensor& residual,
                      at::Tensor y) = 0;
  // The same with y in the master dtype.
  virtual void logits(const at::Tensor& x, const at::Tensor& w, at::Tensor y) = 0;
  // dx = dy w
  virtual void linear_input_gradient(const at::Tensor& dy, const at::Tensor& w, at::Tensor dx) = 0;
  // dw += dy^T x
  virtual void linear_weight_gradient(const at::Tensor& dy, const at::Tensor& x, at::Tensor dw) = 0;

  // y = x / sqrt(mean(x^2) + eps) * weight
  virtual void rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps,
                        at::Tensor y) = 0;
  // dx = the norm's input gradient (+ residual, where defined), dweight += its weight gradient
  virtual void rms_norm_backward(const at::Tensor& dy, const at::Tensor& x,
                                 const at::Tensor& weight, double eps, const at::Tensor& residual,
                                 at::Tensor dx, at::Tensor dweight) = 0;

  // Rotates queries and keys of qkv in place; the row's position is row % shape.tokens.
  virtual void rope(at::Tensor qkv, const RopeTable& table, const AttentionShape& shape,
                    Rotation rotation) = 0;

  // Causal attention; log_sum_exp is [batch, heads, tokens] in the master dtype.
  virtual void attention(const at::Tensor& qkv, const AttentionShape& shape, at::Tensor out,
                         at::Tensor log_sum_exp) = 0;
  virtual void attention_backward(const at::Tensor& d_out, const at::Tensor& qkv,
                                  const at::Tensor& out, const at::Tensor& log_sum_exp,
                                  const AttentionShape& shape, at::Tensor d_qkv) = 0;

  // out = silu(gate) * up; gate_up is [rows, 2 width].
  virtual void swiglu(const at::Tensor& gate_up, at::Tensor out) = 0;
  // Takes d_out in `product` and leaves there the forward's result, which the weight gradient
  // of the following projection needs.
  virtual void swiglu_backward(const at::Tensor& gate_up, at::Tensor product,
                               at::Tensor d_gate_up) = 0;

  virtual void embedding(const at::Tensor& tokens, const at::Tensor& table, at::Tensor out) = 0;
  // d_table += the rows of d_out at their tokens
  virtual void embedding_backward(const at::Tensor& tokens, const at::Tensor& d_out,
                                  at::Tensor d_table) = 0;

  // The sum over rows of -log softmax(logits)[target], in nats. Overwrites logits. Where
  // d_logits is defined it receives scale * its gradient, in the compute dtype; it may be
  // logits itself.
  virtual double cross_entropy(at::Tensor logits, const at::Tensor& targets, double scale,
                               at::Tensor d_logits) = 0;

  // Copies float32 values into their compute form.
  virtual void to_compute(const at::Tensor& value, at::Tensor compute) = 0;

  // What the implementation will own as scratch for this attention, in bytes.
  virtual std::int64_t scratch_bytes(const AttentionShape& shape) const = 0;
};

// The best implementation for a device.
std::unique_ptr<Ops> make_ops(at::Device device, job::ComputePrecision precision);

}  // namespace ptrain::stage
