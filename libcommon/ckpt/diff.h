// Two checkpoints compared tensor by tensor, whatever their cuts. Tensors with equal hashes are
// not read; others are read side by side, a piece of each at a time, and checked on the way.

#pragma once

#include <functional>
#include <optional>
#include <string>

#include "libcommon/ckpt/checkpoint_reader.h"
#include "libcommon/ckpt/difference.h"
#include "libcommon/ckpt/progress.h"

namespace ptrain::ckpt {

enum class Comparison {
  equal,      // bit by bit
  compared,   // both are there and of one form, with other bits: see `difference`
  only_left,  // there is none of that name on the other side
  only_right,
  other_form,  // another type or shape, or a type whose numbers are not compared
};

struct TensorComparison {
  std::string name;
  Comparison result = Comparison::equal;
  std::optional<Difference> difference;
  std::optional<TensorInfo> left;
  std::optional<TensorInfo> right;

  // The same for a person who accepts distances up to `tolerance`; none: bits must be equal.
  bool same(std::optional<double> tolerance) const;
};

enum class DiffScope { weights_and_moments, weights };

// Calls `each` for every tensor, in the order of the left side, then for those that only the
// right side has. `progress` counts the bytes that were read on both sides.
void diff(const CheckpointReader& left, const CheckpointReader& right, DiffScope scope,
          const std::function<void(const TensorComparison&)>& each, const Progress& progress = {});

}  // namespace ptrain::ckpt
