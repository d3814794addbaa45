// Elements of tensors as float32 and back: what comparing checkpoints and exchanging them with
// others needs. Pure; bit patterns only, so no processor's rounding mode matters.

#pragma once

#include <cstddef>
#include <span>

#include "libcommon/ckpt/tensor.h"

namespace ptrain::ckpt {

// Whether the type has a conversion to float32 that loses nothing: F32, BF16, F16.
bool widens_to_float32(Dtype dtype);

// `in` has out.size() elements of a type that widens.
void widen(Dtype dtype, std::span<const std::byte> in, std::span<float> out);

// To bfloat16, to nearest, ties to even, as torch rounds; a NaN stays one. `out` has two bytes
// an element.
void round_to_bfloat16(std::span<const float> in, std::span<std::byte> out);

}  // namespace ptrain::ckpt
