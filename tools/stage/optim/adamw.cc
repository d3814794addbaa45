#include "tools/stage/optim/adamw.h"

#include <cmath>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/units.h"
#include "libcommon/os/memory_error.h"
#include "tools/stage/kernels/kernels.h"

namespace ptrain::stage {
namespace {

// The factors of one update that all parameters share.
struct Factors {
  double beta1;
  double beta2;
  double step_size;            // lr / (1 - beta1^n)
  double inverse_correction2;  // 1 / sqrt(1 - beta2^n)
  double eps;
  double clip;
};

void update_fused(Parameter& parameter, AdamW::Moments& moments, const Factors& f,
                  double decay_factor) {
  const bool copies = !parameter.compute.is_same(parameter.value) &&
                      parameter.compute.scalar_type() == at::kBFloat16;
  kernels::run(kernels::AdamWUpdate{
      .value = parameter.value.data_ptr<float>(),
      .grad = parameter.grad.data_ptr<float>(),
      .exp_avg = moments.exp_avg.data_ptr<float>(),
      .exp_avg_sq = moments.exp_avg_sq.data_ptr<float>(),
      .compute = copies ? static_cast<kernels::Bf16*>(parameter.compute.data_ptr()) : nullptr,
      .size = parameter.value.numel(),
      .grad_factor = static_cast<float>(f.clip),
      .beta1 = static_cast<float>(f.beta1),
      .beta2 = static_cast<float>(f.beta2),
      .step_size = static_cast<float>(f.step_size),
      .inverse_correction2 = static_cast<float>(f.inverse_correction2),
      .eps = static_cast<float>(f.eps),
      .decay_factor = static_cast<float>(decay_factor)});
}

void update_generic(Parameter& parameter, AdamW::Moments& moments, const Factors& f,
                    double decay_factor) {
  const at::Tensor gradient = parameter.grad * f.clip;
  moments.exp_avg.mul_(f.beta1).add_(gradient, 1.0 - f.beta1);
  moments.exp_avg_sq.mul_(f.beta2).addcmul_(gradient, gradient, 1.0 - f.beta2);
  const at::Tensor denominator = moments.exp_avg_sq.sqrt().mul_(f.inverse_correction2).add_(f.eps);
  parameter.value.mul_(decay_factor).addcdiv_(moments.exp_avg, denominator, -f.step_size);
  if (!parameter.compute.is_same(parameter.value)) parameter.compute.copy_(parameter.value);
}

}  // namespace

AdamW::AdamW(const job::OptimConfig& config, const std::vector<Parameter>& parameters)
    : config_(config) {
  std::uint64_t bytes = 0;
  for (const Parameter& parameter : parameters) {
    if (parameter.value.is_cpu()) bytes += 2 * parameter.value.nbytes();
  }
  os::require_memory("the optimiser's moments", ByteCount(bytes));
  for (const Parameter& parameter : parameters) {
    moments_.push_back({at::zeros_like(parameter.value), at::zeros_like(parameter.value)});
  }
}

std::vector<OptimiserState> AdamW::state(std::size_t i) const {
  return {{".exp_avg", moments_.at(i).exp_avg}, {".exp_avg_sq", moments_.at(i).exp_avg_sq}};
}

void AdamW::update(std::vector<Parameter>& parameters, double lr, double clip_factor) {
  if (parameters.size() != moments_.size()) {
    throw Error(ErrorKind::internal, fmt::format("AdamW has moments of {} parameters, not of {}",
                                                 moments_.size(), parameters.size()));
  }
  const auto n = static_cast<double>(updates());
  const Factors factors{.beta1 = config_.beta1,
                        .beta2 = config_.beta2,
                        .step_size = lr / (1.0 - std::pow(config_.beta1, n)),
                        .inverse_correction2 = 1.0 / std::sqrt(1.0 - std::pow(config_.beta2, n)),
                        .eps = config_.eps,
                        .clip = clip_factor};
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    Parameter& parameter = parameters[i];
    const double decay_factor = parameter.spec.decay ? 1.0 - lr * config_.weight_decay : 1.0;
    const bool fused = parameter.value.is_cpu() && parameter.value.scalar_type() == at::kFloat;
    (fused ? update_fused : update_generic)(parameter, moments_[i], factors, decay_factor);
  }
}

}  // namespace ptrain::stage
