#include "tools/stage/optim/linear_mix.h"

#include <cstddef>

#include "libcommon/reduce/kernels/kernels.h"

namespace ptrain::stage {

void linear_mix(const at::Tensor& from, const MixFactors& factors, at::Tensor& to) {
  if (!to.is_cpu()) {
    to.mul_(factors.kept).add_(from, factors.taken);
    return;
  }
  reduce::kernels().mix(from.data_ptr<float>(), static_cast<float>(factors.kept),
                        static_cast<float>(factors.taken), to.data_ptr<float>(),
                        static_cast<std::size_t>(to.numel()));
}

}  // namespace ptrain::stage
