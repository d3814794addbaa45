#include "tools/stage/model/bfloat16_products.h"

#ifdef PTRAIN_HAVE_DNNL
#include <oneapi/dnnl/dnnl.h>
#endif

#include "tools/stage/kernels/kernels.h"

namespace ptrain::stage {
namespace {

#ifdef PTRAIN_HAVE_DNNL
// An instruction set's value has the bits of all that it includes. On arm64 oneDNN names none: as
// Debian builds it, without Arm's library, it has no bfloat16 products there.
bool library_has_bfloat16() {
  constexpr unsigned kNeeded = dnnl_cpu_isa_avx512_core_bf16;
  return (static_cast<unsigned>(dnnl_get_effective_cpu_isa()) & kNeeded) == kNeeded;
}
#elif defined(__x86_64__)
bool library_has_bfloat16() { return __builtin_cpu_supports("avx512bf16"); }
#else
bool library_has_bfloat16() { return false; }
#endif

bool kernels_have_avx512() {
  return kernels::instruction_sets().back() == kernels::InstructionSet::avx512;
}

}  // namespace

Bfloat16Products bfloat16_products() {
  return kernels_have_avx512() && library_has_bfloat16() ? Bfloat16Products::instructions
                                                         : Bfloat16Products::float32;
}

std::string_view describe(Bfloat16Products products) {
  return products == Bfloat16Products::instructions
             ? "multiplies bfloat16 by the processor's instructions for it"
             : "multiplies bfloat16 in float32, since the processor has no instructions for it";
}

}  // namespace ptrain::stage
