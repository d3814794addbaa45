// A whole model from a checkpoint, in one process, whatever the number of stages that it
// was saved from: what eval and sample compute with.

#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "libcommon/base/units.h"
#include "libcommon/ckpt/manifest.h"
#include "tools/stage/model/stage_model.h"

namespace ptrain::stage {

struct WholeModelOptions {
  std::string directory;         // of a run's checkpoints
  std::string which = "latest";  // or a step, or an id
  job::ComputePrecision precision = job::ComputePrecision::float32;
  at::Device device = at::kCPU;
  std::int64_t micro_batch = 1;
  std::int64_t seq_len = 1;
};

struct WholeModel {
  Step step;
  std::string id;  // of the checkpoint
  std::unique_ptr<StageModel> model;
};

// Throws Error(usage) naming the directory when there is no such checkpoint in it,
// Error(corrupt) when it is damaged.
WholeModel load_whole_model(const WholeModelOptions& options);

}  // namespace ptrain::stage
