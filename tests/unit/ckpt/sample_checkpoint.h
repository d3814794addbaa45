// A small model with made-up weights, cut into stages as a test asks.

#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "libcommon/ckpt/store.h"

namespace ptrain::ckpt {

struct SampleOptions {
  std::uint64_t seed = 1;
  bool tied = false;
  std::int64_t hidden_size = 8;
  std::int64_t layers = 4;
  std::string tokenizer{};  // the bytes of its file; empty: none
};

class SampleCheckpoint {
 public:
  // Weights and moments are a function of the step, the seed and the name.
  explicit SampleCheckpoint(Step step, const SampleOptions& options = {});

  // What stage `stage` holds when its layers end at cut[stage], e.g. {2, 4} for two
  // stages of four layers. The views last as long as the object.
  StageState stage(std::uint32_t stage, const std::vector<std::int64_t>& cut) const;
  // The same where cuts may fall inside layers.
  StageState stage_of(std::uint32_t stage, const std::vector<job::StageSpan>& cut) const;
  // Saves every stage and the manifest.
  CheckpointId save(CheckpointStore& store, const std::vector<std::int64_t>& cut) const;
  CheckpointId save_cut(CheckpointStore& store, const std::vector<job::StageSpan>& cut) const;

  const RunState& run() const { return run_; }
  // Parameters and moments by name.
  const std::map<std::string, std::vector<std::byte>>& tensors() const { return tensors_; }

 private:
  RunState run_;
  std::string tokenizer_;
  std::map<std::string, std::vector<std::byte>> tensors_;
};

}  // namespace ptrain::ckpt
