// Choosing the next token from logits: temperature and top-k. Pure, but for the random
// numbers, which are keyed (job/keyed_random.h): the same seed gives the same text.

#pragma once

#include <cstdint>
#include <span>

#include "libcommon/job/keyed_random.h"

namespace ptrain::stage {

struct SamplerOptions {
  double temperature = 0.8;  // 0 always takes the likeliest token
  std::int64_t top_k = 0;    // among the k likeliest tokens; 0: among all
};

// `logits` [vocab], float32, finite. Probabilities are softmax(logits / temperature) over the
// top_k, in float64.
std::int32_t sample_token(std::span<const float> logits, const SamplerOptions& options,
                          job::KeyedRandom& random);

}  // namespace ptrain::stage
