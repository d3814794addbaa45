// The buffers of a stage: those of a microbatch between its forward and its backward, and
// those that one microbatch at a time needs. Built with options on at::kMeta they have sizes
// but no memory, which is how their bytes are predicted.

#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <ATen/ATen.h>

#include "libcommon/job/job.h"
#include "libcommon/job/model_config.h"
#include "tools/stage/model/decoder_layer.h"
#include "tools/stage/model/head.h"

namespace ptrain::stage {

// What a stage's buffers depend on.
struct StageShape {
  LayerShape layer;
  std::int64_t layers = 0;
  std::int64_t vocab = 0;
  bool head = false;
  std::int64_t logits_rows = 0;  // of the head's chunks
  at::TensorOptions compute;
  at::TensorOptions master;
};

struct Slot {
  // [n, d]: hidden[i] is the input of layer i, hidden.back() the last one's output. hidden[0]
  // is replaced by the caller's tensor where there is no embedding.
  std::vector<at::Tensor> hidden;
  std::vector<LayerActivations> layers;  // empty under recomputation
  at::Tensor gradient;                   // [n, d], of the residual stream on its way back
  at::Tensor tokens;                     // on the first stage, the caller's
  bool taken = false;                    // between forward and backward

  Slot(const StageShape& shape, job::Recompute recompute);
  std::int64_t bytes() const;
};

struct Workspace {
  LayerShape shape;
  LayerScratch scratch;
  LayerActivations activations;  // of the layer at hand, where none are kept
  at::Tensor hidden[2];          // [n, d], inputs and outputs in turn, where none are kept
  std::optional<HeadScratch> head;

  explicit Workspace(const StageShape& shape);
  std::int64_t bytes() const;
};

}  // namespace ptrain::stage
