// Cosines and sines of rotary position embedding (Su et al., 2021): position p turns the
// pair (x[i], x[i + head_dim / 2]) of a head by p * theta^(-2 i / head_dim).

#pragma once

#include <cstdint>

#include <ATen/ATen.h>

#include "libcommon/job/model_config.h"

namespace ptrain::stage {

// Both [positions, head_dim / 2], contiguous.
struct RopeTable {
  at::Tensor cosine;
  at::Tensor sine;
};

// For positions 0 to `positions` - 1, computed in float64 and rounded once.
RopeTable make_rope_table(const job::ModelConfig& config, std::int64_t positions,
                          at::TensorOptions options);

}  // namespace ptrain::stage
