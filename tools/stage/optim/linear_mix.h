// to = kept to + taken from, element by element, of contiguous float32 tensors of one shape.
//
// On the CPU each product and the sum are rounded by themselves, and each element is computed alike
// wherever it lies. ATen's own loops are not like that: the elements that are left over at the end
// of a thread's part are computed by other instructions, which may fuse the two, so the number of
// threads would show in the bits.

#pragma once

#include <ATen/ATen.h>

namespace ptrain::stage {

struct MixFactors {
  double kept = 0;
  double taken = 0;
};

void linear_mix(const at::Tensor& from, const MixFactors& factors, at::Tensor& to);

}  // namespace ptrain::stage
