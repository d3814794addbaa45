// The sizes of everything in a decoder layer, and the buffers that both of its blocks use.

#pragma once

#include <cstdint>

#include <ATen/ATen.h>

#include "libcommon/job/model_config.h"
#include "tools/stage/model/ops.h"

namespace ptrain::stage {

// For microbatches of one shape.
struct LayerShape {
  AttentionShape attention;
  std::int64_t hidden = 0;        // d
  std::int64_t intermediate = 0;  // f
  double eps = 0.0;

  LayerShape(const job::ModelConfig& config, std::int64_t batch, std::int64_t tokens)
      : attention{.batch = batch,
                  .tokens = tokens,
                  .heads = config.num_attention_heads,
                  .key_value_heads = config.num_key_value_heads,
                  .head_dim = config.head_dim},
        hidden(config.hidden_size),
        intermediate(config.intermediate_size),
        eps(config.rms_norm_eps) {}
  std::int64_t rows() const { return attention.batch * attention.tokens; }
};

// What no block needs beyond a single call.
struct BlockScratch {
  at::Tensor normed;    // [n, d]
  at::Tensor d_normed;  // [n, d]

  BlockScratch(const LayerShape& shape, at::TensorOptions compute)
      : normed(at::empty({shape.rows(), shape.hidden}, compute)),
        d_normed(at::empty({shape.rows(), shape.hidden}, compute)) {}
};

}  // namespace ptrain::stage
