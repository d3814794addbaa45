// How this process multiplies bfloat16 matrices on the CPU. A function of the processor and of the
// environment that restricts the libraries to a part of it, never of a measurement, which a busy
// moment would change: all processes of a run on such processors, and a run that is continued,
// compute alike.

#pragma once

#include <string_view>

namespace ptrain::stage {

enum class Bfloat16Products {
  instructions,  // the processor's own, by oneDNN (AVX512-BF16, AMX)
  float32,       // exact products in float32, by kernels::Product
};

// `float32` also where ATEN_CPU_CAPABILITY holds the kernels, or ONEDNN_MAX_CPU_ISA oneDNN, to less
// than the processor has. oneDNN's own way without such instructions runs at a fifth of float32's
// speed with AVX-512, and does not exist without it (facts).
Bfloat16Products bfloat16_products();

// For people: what `products` means.
std::string_view describe(Bfloat16Products products);

}  // namespace ptrain::stage
