#include "tools/stage/model/cpu_ops.h"

#include <type_traits>

#include "tools/stage/model/generic_ops.h"

namespace ptrain::stage {
namespace {

using kernels::Bf16;

template <class T>
T* data(const at::Tensor& x) {
  return static_cast<T*>(x.data_ptr());
}

template <class T>
T* data_or_null(const at::Tensor& x) {
  return x.defined() ? data<T>(x) : nullptr;
}

}  // namespace

template <class T>
at::TensorOptions CpuOps<T>::compute() const {
  return at::TensorOptions().dtype(std::is_same_v<T, float> ? at::kFloat : at::kBFloat16);
}

template <class T>
at::TensorOptions CpuOps<T>::master() const {
  return at::TensorOptions().dtype(at::kFloat);
}

template <class T>
float* CpuOps<T>::scratch(std::int64_t floats) {
  if (!scratch_.defined() || scratch_.numel() < floats) scratch_ = at::empty({floats}, master());
  return data<float>(scratch_);
}

template <class T>
void CpuOps<T>::linear(const at::Tensor& x, const at::Tensor& w, const at::Tensor& residual,
                       at::Tensor y) {
  product_.multiply(x, w.t(), residual, y);
}

template <class T>
void CpuOps<T>::logits(const at::Tensor& x, const at::Tensor& w, at::Tensor y) {
  product_.multiply(x, w.t(), {}, y);
}

template <class T>
void CpuOps<T>::linear_input_gradient(const at::Tensor& dy, const at::Tensor& w, at::Tensor dx) {
  product_.multiply(dy, w, {}, dx);
}

template <class T>
void CpuOps<T>::linear_weight_gradient(const at::Tensor& dy, const at::Tensor& x, at::Tensor dw) {
  product_.accumulate(dy.t(), x, dw);
}

template <class T>
void CpuOps<T>::rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps, at::Tensor y) {
  kernels::run(kernels::RmsNorm<T>{.x = data<T>(x),
                                   .weight = data<float>(weight),
                                   .y = data<T>(y),
                                   .rows = x.size(0),
                                   .width = x.size(1),
                                   .eps = static_cast<float>(eps)});
}

template <class T>
void CpuOps<T>::rms_norm_backward(const at::Tensor& dy, const at::Tensor& x,
                                  const at::Tensor& weight, double eps, const at::Tensor& residual,
                                  at::Tensor dx, at::Tensor dweight) {
  const std::int64_t rows = x.size(0);
  const std::int64_t width = x.size(1);
  kernels::run(
      kernels::RmsNormBackward<T>{.dy = data<T>(dy),
                                  .x = data<T>(x),
                                  .weight = data<float>(weight),
                                  .residual = data_or_null<T>(residual),
                                  .dx = data<T>(dx),
                                  .dweight = data<float>(dweight),
                                  .partials = scratch(kernels::rms_norm_partials(rows) * width),
                                  .rows = rows,
                                  .width = width,
                                  .eps = static_cast<float>(eps)});
}

template <class T>
void CpuOps<T>::rope(at::Tensor qkv, const RopeTable& table, const AttentionShape& shape,
                     Rotation rotation) {
  kernels::run(kernels::Rope<T>{.x = data<T>(qkv),
                                .stride = qkv.size(1),
                                .cosine = data<float>(table.cosine),
                                .sine = data<float>(table.sine),
                                .rows = qkv.size(0),
                                .tokens = shape.tokens,
                                .heads = shape.heads + shape.key_value_heads,
                                .head_dim = shape.head_dim,
                                .sign = rotation == Rotation::forward ? 1.0F : -1.0F});
}

template <class T>
void CpuOps<T>::attention(const at::Tensor& qkv, const AttentionShape& shape, at::Tensor out,
                          at::Tensor log_sum_exp) {
  const std::int64_t floats = kernels::max_threads() * kernels::attention_forward_workspace(shape);
  kernels::run(kernels::Attention<T>{.qkv = data<T>(qkv),
                                     .out = data<T>(out),
                                     .log_sum_exp = data<float>(log_sum_exp),
                                     .shape = shape,
                                     .workspace = scratch(floats)});
}

template <class T>
void CpuOps<T>::attention_backward(const at::Tensor& d_out, const at::Tensor& qkv,
                                   const at::Tensor& out, const at::Tensor& log_sum_exp,
                                   const AttentionShape& shape, at::Tensor d_qkv) {
  const std::int64_t floats = kernels::max_threads() * kernels::attention_backward_workspace(shape);
  kernels::run(kernels::AttentionBackward<T>{.qkv = data<T>(qkv),
                                             .out = data<T>(out),
                                             .d_out = data<T>(d_out),
                                             .log_sum_exp = data<float>(log_sum_exp),
                                             .d_qkv = data<T>(d_qkv),
                                             .shape = shape,
                                             .workspace = scratch(floats)});
}

template <class T>
void CpuOps<T>::swiglu(const at::Tensor& gate_up, at::Tensor out) {
  kernels::run(kernels::SwiGlu<T>{
      .gate_up = data<T>(gate_up), .out = data<T>(out), .rows = out.size(0), .width = out.size(1)});
}

template <class T>
void CpuOps<T>::swiglu_backward(const at::Tensor& gate_up, at::Tensor product,
                                at::Tensor d_gate_up) {
  kernels::run(kernels::SwiGluBackward<T>{.gate_up = data<T>(gate_up),
                                          .d_out = data<T>(product),
                                          .d_gate_up = data<T>(d_gate_up),
                                          .product = data<T>(product),
                                          .rows = product.size(0),
                                          .width = product.size(1)});
}

template <class T>
void CpuOps<T>::embedding(const at::Tensor& tokens, const at::Tensor& table, at::Tensor out) {
  kernels::run(kernels::Embedding<T>{.tokens = data<std::int32_t>(tokens),
                                     .table = data<T>(table),
                                     .out = data<T>(out),
                                     .rows = out.size(0),
                                     .width = out.size(1)});
}

template <class T>
void CpuOps<T>::embedding_backward(const at::Tensor& tokens, const at::Tensor& d_out,
                                   at::Tensor d_table) {
  kernels::run(kernels::EmbeddingBackward<T>{.tokens = data<std::int32_t>(tokens),
                                             .d_out = data<T>(d_out),
                                             .d_table = data<float>(d_table),
                                             .rows = d_out.size(0),
                                             .width = d_out.size(1)});
}

template <class T>
double CpuOps<T>::cross_entropy(at::Tensor logits, const at::Tensor& targets, double scale,
                                at::Tensor d_logits) {
  const std::int64_t rows = logits.size(0);
  if (!losses_.defined() || losses_.numel() < rows) losses_ = at::empty({rows}, at::kDouble);
  double* losses = data<double>(losses_);
  kernels::run(kernels::CrossEntropy<T>{.logits = data<float>(logits),
                                        .targets = data<std::int32_t>(targets),
                                        .losses = losses,
                                        .d_logits = data_or_null<T>(d_logits),
                                        .rows = rows,
                                        .vocab = logits.size(1),
                                        .scale = static_cast<float>(scale)});
  double total = 0.0;
  for (std::int64_t row = 0; row < rows; ++row) total += losses[row];
  return total;
}

template <class T>
void CpuOps<T>::to_compute(const at::Tensor& value, at::Tensor compute) {
  if constexpr (std::is_same_v<T, Bf16>) {
    kernels::run(kernels::ToBf16{data<float>(value), data<Bf16>(compute), value.numel()});
  } else {
    compute.copy_(value);
  }
}

template <class T>
std::int64_t CpuOps<T>::scratch_bytes(const AttentionShape& shape) const {
  const std::int64_t attention =
      kernels::max_threads() * kernels::attention_backward_workspace(shape);
  return attention * static_cast<std::int64_t>(sizeof(float)) +
         (std::is_same_v<T, Bf16> ? product_.scratch_bytes() : 0);
}

template class CpuOps<float>;
template class CpuOps<Bf16>;

std::unique_ptr<Ops> make_ops(at::Device device, job::ComputePrecision precision) {
  const bool wide = precision == job::ComputePrecision::float32;
  if (device != at::kCPU) {
    return std::make_unique<GenericOps>(device, wide ? at::kFloat : at::kBFloat16);
  }
  if (wide) return std::make_unique<CpuOps<float>>();
  return std::make_unique<CpuOps<Bf16>>();
}

}  // namespace ptrain::stage
