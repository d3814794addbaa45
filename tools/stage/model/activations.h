// The buffers of a stage: those of a microbatch between its forward and its backward, and
// those that one microbatch at a time needs. Built with options on at::kMeta they have sizes
// but no memory, which is how their bytes are predicted.

#pragma once

#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include <ATen/ATen.h>

#include "libcommon/job/job.h"
#include "libcommon/job/model_config.h"
#include "tools/stage/model/attention_block.h"
#include "tools/stage/model/head.h"
#include "tools/stage/model/layer_shape.h"
#include "tools/stage/model/mlp_block.h"

namespace ptrain::stage {

// What a stage's buffers depend on.
struct StageShape {
  LayerShape layer;
  job::StageSpan span;
  std::int64_t vocab = 0;
  std::int64_t logits_rows = 0;  // of the head's chunks
  at::TensorOptions compute;
  at::TensorOptions master;
};

using BlockActivations = std::variant<AttentionActivations, MlpActivations>;

struct Slot {
  // [n, d] each, of the stage's blocks. The first is replaced by the caller's tensor where there is
  // no embedding. Under recomputation those between the two blocks of a layer are not defined.
  std::vector<at::Tensor> inputs;
  std::vector<BlockActivations> blocks;  // empty under recomputation
  // [n, d], the last block's output; on the last stage, where nothing but the head reads that, the
  // head's gradient of it.
  at::Tensor output;
  at::Tensor gradient;  // [n, d], of the stage's input
  at::Tensor tokens;    // on the first stage, the caller's
  bool taken = false;   // between forward and backward

  Slot(const StageShape& shape, job::Recompute recompute);
  std::int64_t bytes() const;
};

struct Workspace {
  LayerShape shape;
  BlockScratch scratch;
  AttentionActivations attention;  // of the block at hand, where none are kept
  MlpActivations mlp;
  AttentionGradients d_attention;
  MlpGradients d_mlp;
  at::Tensor hidden[2];  // [n, d], inputs and outputs in turn, where none are kept
  at::Tensor gradient;   // [n, d], of the residual stream on its way back, in turn with a slot's
  std::optional<HeadScratch> head;

  explicit Workspace(const StageShape& shape);
  std::int64_t bytes() const;
};

}  // namespace ptrain::stage
