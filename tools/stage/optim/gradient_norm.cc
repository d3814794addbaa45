#include "tools/stage/optim/gradient_norm.h"

#include "tools/stage/kernels/kernels.h"

namespace ptrain::stage {

std::vector<double> gradient_squares(const std::vector<Parameter>& parameters) {
  std::vector<double> squares;
  for (const Parameter& parameter : parameters) {
    const at::Tensor& grad = parameter.grad;
    if (grad.is_cpu() && grad.scalar_type() == at::kFloat) {
      double sum = 0.0;
      kernels::run(kernels::SumOfSquares{grad.data_ptr<float>(), grad.numel(), &sum});
      squares.push_back(sum);
    } else {
      squares.push_back(grad.to(at::kDouble).square().sum().item<double>());
    }
  }
  return squares;
}

}  // namespace ptrain::stage
