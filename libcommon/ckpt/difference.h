// How far two tensors of the same shape are apart. A value that is fed piece by piece.

#pragma once

#include <cstdint>
#include <span>

namespace ptrain::ckpt {

struct Difference {
  std::uint64_t elements = 0;
  std::uint64_t different = 0;     // not equal as numbers; two NaN are equal here, 0 and -0 too
  std::uint64_t incomparable = 0;  // of those: NaN or infinity on a side, so without a distance
  double largest_absolute = 0;     // |a - b| of the others
  double largest_relative = 0;     // |a - b| / max(|a|, |b|)

  void add(std::span<const float> left, std::span<const float> right);
  bool within(double tolerance) const { return incomparable == 0 && largest_absolute <= tolerance; }
};

}  // namespace ptrain::ckpt
