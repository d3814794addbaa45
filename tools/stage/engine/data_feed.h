// The tokens of a job as tensors: what the first stage embeds and the last predicts.
//
// Which windows a microbatch holds is a function of the seed and the step
// (job/data_order.h), so both ends of the pipeline read the same ones from their own
// copy of the data and no token crosses the wire. Any thread; immutable.

#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <ATen/ATen.h>
#include <nlohmann/json_fwd.hpp>

#include "libcommon/base/units.h"
#include "libcommon/data/dataset.h"
#include "libcommon/job/job.h"

namespace ptrain::stage {

struct TokenBatch {
  at::Tensor inputs;   // int32 [b, t]
  at::Tensor targets;  // int32 [b, t]: the token after each input
};

class DataFeed {
 public:
  // Opens the training shards and, where the job names any, the validation shards.
  DataFeed(const job::Job& job, at::Device device);

  TokenBatch microbatch(Step step, MicrobatchIndex index) const;

  // An evaluation reads the first eval.sequences validation windows (all, where that is 0) in
  // batches of batch.micro, the last of which may be smaller. 0 without validation data.
  std::uint32_t validation_batches() const;
  TokenBatch validation_batch(std::uint32_t index) const;

  // Hash of the data, the same wherever it lies: stages compare it at the handshake.
  std::string fingerprint() const;
  const data::TokenDataset& training() const { return train_; }
  // Of the training data alone: a checkpoint remembers what it was trained on.
  std::string training_fingerprint() const { return train_.fingerprint(); }
  // In words, what the training data is, against that of another fingerprint.
  std::string training_against(const std::string& other) const;
  // What the data is made of, {"data.train": ..., "data.val": ...}: see data_outline.h.
  nlohmann::json outline() const;

 private:
  std::uint64_t validation_sequences() const;

  job::Job job_;
  at::Device device_;
  data::TokenDataset train_;
  std::optional<data::TokenDataset> validation_;
};

// Consecutive windows [first, first + count) of `dataset`.
TokenBatch consecutive_windows(const data::TokenDataset& dataset, std::uint64_t first,
                               std::int64_t count, at::Device device);

}  // namespace ptrain::stage
