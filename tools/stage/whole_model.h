// A whole model from a checkpoint, in one process, whatever the number of stages that it
// was saved from: what eval and sample compute with.

#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "libcommon/base/units.h"
#include "libcommon/ckpt/checkpoint_reader.h"
#include "tools/stage/model/stage_model.h"

namespace ptrain::stage {

struct WholeModelOptions {
  std::string checkpoint;  // as on the command line: ckpt/checkpoint_name.h
  std::string step;        // or here which one, in the folder that `checkpoint` is then
  bool averages = false;   // of the weights (optim.ema), in their place
  job::ComputePrecision precision = job::ComputePrecision::float32;
  at::Device device = at::kCPU;
  std::int64_t micro_batch = 1;
  std::int64_t seq_len = 1;
};

struct WholeModel {
  Step step;
  std::string id;  // of the checkpoint
  std::optional<ckpt::CheckpointReader::Tokenizer> tokenizer;
  std::unique_ptr<StageModel> model;
};

// Throws cli::EarlyEnd when there is no such checkpoint, or not all of it, Error(corrupt) when it
// is damaged.
WholeModel load_whole_model(const WholeModelOptions& options);

}  // namespace ptrain::stage
