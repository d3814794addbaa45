#include "libcommon/ckpt/difference.h"

#include <algorithm>
#include <cmath>

namespace ptrain::ckpt {

void Difference::add(std::span<const float> left, std::span<const float> right) {
  elements += left.size();
  for (std::size_t i = 0; i < left.size(); ++i) {
    const double a = left[i];  // in double, |a - b| of two floats neither overflows nor vanishes
    const double b = right[i];
    if (a == b || (std::isnan(a) && std::isnan(b))) continue;
    ++different;
    if (!std::isfinite(a) || !std::isfinite(b)) {
      ++incomparable;
      continue;
    }
    const double distance = std::abs(a - b);
    largest_absolute = std::max(largest_absolute, distance);
    largest_relative = std::max(largest_relative, distance / std::max(std::abs(a), std::abs(b)));
  }
}

}  // namespace ptrain::ckpt
