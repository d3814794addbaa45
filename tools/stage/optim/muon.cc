#include "tools/stage/optim/muon.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/units.h"
#include "libcommon/job/optimiser_state.h"
#include "libcommon/os/memory_error.h"
#include "tools/stage/kernels/kernels.h"
#include "tools/stage/optim/linear_mix.h"

namespace ptrain::stage {
namespace {

constexpr int kNewtonSchulzSteps = 5;
constexpr double kA = 3.4445;
constexpr double kB = -4.7750;
constexpr double kC = 2.0315;
constexpr double kSmallestNorm = 1e-7;

double norm_of(const at::Tensor& x) {
  double squares = 0;
  if (x.is_cpu()) {
    kernels::run(kernels::SumOfSquares{x.data_ptr<float>(), x.numel(), &squares});
  } else {
    squares = x.to(at::kDouble).square().sum().item<double>();
  }
  return std::sqrt(squares);
}

// c = a b, in float32 from factors in the given precision.
class Products {
 public:
  Products(NewtonSchulzPrecision precision, MatrixProduct& product)
      : factor_(precision == NewtonSchulzPrecision::bfloat16 ? at::kBFloat16 : at::kFloat),
        product_(product) {}

  // One that takes part in several products is rounded once.
  at::Tensor factor(const at::Tensor& x) const { return x.to(factor_); }
  at::Tensor of(const at::Tensor& a, const at::Tensor& b) const {
    if (!a.is_cpu()) return at::mm(a, b).to(at::kFloat);
    at::Tensor c = at::empty({a.size(0), b.size(1)}, at::kFloat);
    product_.multiply(a, b, {}, c);
    return c;
  }

 private:
  at::ScalarType factor_;
  MatrixProduct& product_;
};

double scale_of(MuonScale scale, const at::Tensor& x) {
  const auto rows = static_cast<double>(x.size(0));
  const auto columns = static_cast<double>(x.size(1));
  if (scale == MuonScale::adamw) return 0.2 * std::sqrt(std::max(rows, columns));
  return std::sqrt(std::max(1.0, rows / columns));
}

std::vector<Parameter> without_hidden_matrices(const std::vector<Parameter>& parameters) {
  std::vector<Parameter> others;  // the same tensors
  for (const Parameter& parameter : parameters) {
    if (!Muon::is_hidden_matrix(parameter)) others.push_back(parameter);
  }
  return others;
}

}  // namespace

at::Tensor newton_schulz(const at::Tensor& u, NewtonSchulzPrecision precision,
                         MatrixProduct& product) {
  const Products products(precision, product);
  const bool tall = u.size(0) > u.size(1);  // A is as small as it can be
  at::Tensor x = (tall ? u.t() : u).clone(at::MemoryFormat::Contiguous);
  x.mul_(1.0 / std::max(norm_of(u), kSmallestNorm));
  for (int step = 0; step < kNewtonSchulzSteps; ++step) {
    const at::Tensor x_factor = products.factor(x);
    const at::Tensor a = products.of(x_factor, x_factor.t());
    const at::Tensor a_factor = products.factor(a);
    at::Tensor b = products.of(a_factor, a_factor);
    linear_mix(a, {.kept = kC, .taken = kB}, b);
    at::Tensor next = products.of(products.factor(b), x_factor);
    linear_mix(x, {.kept = 1.0, .taken = kA}, next);
    x = next;
  }
  return tall ? x.t().contiguous() : x;
}

bool Muon::is_hidden_matrix(const Parameter& parameter) {
  return job::is_hidden_matrix(parameter.spec);
}

Muon::Muon(const MuonConfig& config, const job::OptimConfig& others,
           const std::vector<Parameter>& parameters)
    : config_(config),
      weight_decay_(others.weight_decay),
      others_(others, without_hidden_matrices(parameters)) {
  std::uint64_t bytes = 0;
  for (const Parameter& parameter : parameters) {
    if (is_hidden_matrix(parameter) && parameter.value.is_cpu()) bytes += parameter.value.nbytes();
  }
  os::require_memory("the optimiser's momentum", ByteCount(bytes));
  std::size_t other = 0;
  for (const Parameter& parameter : parameters) {
    const bool hidden = is_hidden_matrix(parameter);
    places_.push_back({.hidden = hidden, .index = hidden ? momenta_.size() : other++});
    if (hidden) momenta_.push_back(at::zeros_like(parameter.value));
  }
}

std::vector<OptimiserState> Muon::state(std::size_t i) const {
  const Place& place = places_.at(i);
  if (place.hidden) return {{".momentum_buffer", momenta_[place.index]}};
  return others_.state(place.index);
}

void Muon::update(std::vector<Parameter>& parameters, double lr, double clip_factor) {
  if (parameters.size() != places_.size()) {
    throw Error(ErrorKind::internal, fmt::format("Muon has state of {} parameters, not of {}",
                                                 places_.size(), parameters.size()));
  }
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (places_[i].hidden) move(parameters[i], momenta_[places_[i].index], lr, clip_factor);
  }
  std::vector<Parameter> others = without_hidden_matrices(parameters);
  others_.set_updates(updates() - 1);
  others_.step(others, lr * config_.adamw_lr_ratio, clip_factor);
}

void Muon::move(Parameter& parameter, at::Tensor& momentum, double lr, double clip_factor) {
  const double fresh = (1.0 - config_.momentum) * clip_factor;
  linear_mix(parameter.grad, {.kept = config_.momentum, .taken = fresh}, momentum);
  at::Tensor u = parameter.grad.clone(at::MemoryFormat::Contiguous);
  linear_mix(momentum, {.kept = fresh, .taken = config_.momentum}, u);
  const at::Tensor o = newton_schulz(u, config_.precision, product_);
  const double decay = parameter.spec.decay ? lr * weight_decay_ : 0.0;
  linear_mix(o, {.kept = 1.0 - decay, .taken = -lr * scale_of(config_.scale, o)}, parameter.value);
  if (!parameter.compute.is_same(parameter.value)) parameter.compute.copy_(parameter.value);
}

}  // namespace ptrain::stage
