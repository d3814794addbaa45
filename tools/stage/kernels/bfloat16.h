// bfloat16 as storage: the upper half of a float32. Arithmetic is done in float32.

#pragma once

#include <cstdint>

namespace ptrain::stage::kernels {

struct Bf16 {
  std::uint16_t bits;
};
static_assert(sizeof(Bf16) == 2);

}  // namespace ptrain::stage::kernels
