// Matrix products on the CPU: c = a b, c = a b + addend, and c += a b, in float32 or with
// bfloat16 factors and a float32 or bfloat16 result (summed in float32 either way).
//
// Operands are two-dimensional views whose rows or columns are contiguous, so a transposed
// view costs nothing. With oneDNN, which reaches twice OpenBLAS's rate in bfloat16 and a tenth
// more in float32 (facts); without it through ATen; bfloat16 without instructions for it by
// kernels::Product. Owns the compiled primitives, one for each combination of shapes, since making
// one takes longer than a small product. Not thread-safe.

#pragma once

#include <memory>

#include <ATen/ATen.h>

#include "tools/stage/model/bfloat16_products.h"

namespace ptrain::stage {

class MatrixProduct {
 public:
  explicit MatrixProduct(Bfloat16Products bfloat16 = bfloat16_products());
  ~MatrixProduct();

  // c = a b, or c = a b + addend where that is defined (a matrix like c, of its dtype).
  void multiply(const at::Tensor& a, const at::Tensor& b, const at::Tensor& addend, at::Tensor c);
  // c += a b
  void accumulate(const at::Tensor& a, const at::Tensor& b, at::Tensor c);

  // The most scratch that it will own for bfloat16 factors, in bytes.
  std::int64_t scratch_bytes() const;

 private:
  struct State;

  // Whether kernels::Product is to compute it.
  bool in_float32(const at::Tensor& a) const;
  void multiply_in_float32(const at::Tensor& a, const at::Tensor& b, const at::Tensor& addend,
                           const at::Tensor& c);

  Bfloat16Products bfloat16_;
  at::Tensor scratch_;
  std::unique_ptr<State> state_;
};

}  // namespace ptrain::stage
