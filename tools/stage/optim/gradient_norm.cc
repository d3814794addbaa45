#include "tools/stage/optim/gradient_norm.h"

#include "tools/stage/kernels/kernels.h"

namespace ptrain::stage {
namespace {

bool has_kernel(const at::Tensor& grad) {
  return grad.is_cpu() && grad.scalar_type() == at::kFloat;
}

double fused_squares(const at::Tensor& grad) {
  double sum = 0.0;
  kernels::run(kernels::SumOfSquares{grad.data_ptr<float>(), grad.numel(), &sum});
  return sum;
}

}  // namespace

std::vector<double> gradient_squares(const std::vector<Parameter>& parameters) {
  std::vector<double> squares(parameters.size());
  std::vector<at::Tensor> elsewhere;  // sums that no kernel makes
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const at::Tensor& grad = parameters[i].grad;
    if (has_kernel(grad)) {
      squares[i] = fused_squares(grad);
    } else {
      elsewhere.push_back(grad.to(at::kDouble).square().sum());
    }
  }
  if (elsewhere.empty()) return squares;
  // One wait for the device, not one for each parameter.
  const at::Tensor sums = at::stack(elsewhere).to(at::kCPU);
  const auto* next = sums.data_ptr<double>();
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (!has_kernel(parameters[i].grad)) squares[i] = *next++;
  }
  return squares;
}

}  // namespace ptrain::stage
