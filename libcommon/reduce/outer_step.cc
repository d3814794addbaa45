#include "libcommon/reduce/outer_step.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/subnormals.h"
#include "libcommon/reduce/kernels/kernels.h"

namespace ptrain::reduce {
namespace {

void check_lengths(std::size_t a, std::size_t b, std::size_t c) {
  if (a == b && b == c) return;
  throw Error(ErrorKind::internal,
              fmt::format("an outer step over {}, {} and {} elements", a, b, c));
}

}  // namespace

void pseudo_gradient(std::span<const float> anchor, std::span<const float> weights,
                     std::span<float> out) {
  check_lengths(anchor.size(), weights.size(), out.size());
  const SubnormalMode mode(Subnormals::kept);
  kernels().difference(anchor.data(), weights.data(), out.data(), out.size());
}

void outer_step(const OuterRule& rule, std::span<const float> sum, float weight,
                std::span<float> anchor, std::span<float> velocity) {
  check_lengths(sum.size(), anchor.size(), velocity.size());
  if (!std::isfinite(weight) || !(weight > 0)) {
    throw Error(ErrorKind::internal, fmt::format("an outer step over lanes of weight {}", weight));
  }
  const SubnormalMode mode(Subnormals::kept);
  kernels().nesterov({.weight = weight, .momentum = rule.momentum, .lr = rule.lr}, sum.data(),
                     anchor.data(), velocity.data(), sum.size());
}

void mix(float kept, std::span<const float> from, std::span<float> to) {
  check_lengths(from.size(), to.size(), to.size());
  if (!(kept >= 0 && kept <= 1)) {
    throw Error(ErrorKind::internal, fmt::format("a mixing factor of {}", kept));
  }
  if (kept == 0) {
    std::copy(from.begin(), from.end(), to.begin());
    return;
  }
  const SubnormalMode mode(Subnormals::kept);
  kernels().mix(from.data(), kept, 1 - kept, to.data(), to.size());
}

}  // namespace ptrain::reduce
