// The tokens of a job: which windows of which shards a microbatch and an evaluation read.
//
// Which windows a microbatch holds is a function of the seed and the step (job/data_order.h), so
// both ends of the pipeline read the same ones from their own copy of the data and no token
// crosses the wire. Any thread; immutable.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "libcommon/base/units.h"
#include "libcommon/data/dataset.h"
#include "libcommon/job/job.h"

namespace ptrain::stage {

class JobData {
 public:
  // Opens the training shards and, where the job names any, the validation shards.
  explicit JobData(const job::Job& job);

  // Of training(), one a sequence of the microbatch.
  std::vector<std::uint64_t> windows(Step step, MicrobatchIndex index) const;

  // An evaluation reads the first eval.sequences validation windows (all, where that is 0) in
  // batches of batch.micro, the last of which may be smaller. 0 without validation data.
  std::uint32_t validation_batches() const;
  std::vector<std::uint64_t> validation_windows(std::uint32_t batch) const;

  const data::TokenDataset& training() const { return train_; }
  const data::TokenDataset& validation() const { return *validation_; }

  // Hash of the data, the same wherever it lies: stages compare it at the handshake.
  std::string fingerprint() const;
  // Of the training data alone: a checkpoint remembers what it was trained on.
  std::string training_fingerprint() const { return train_.fingerprint(); }
  // In words, what the training data is, against that of another fingerprint.
  std::string training_against(const std::string& other) const;
  // What the data is made of, {"data.train": ..., "data.val": ...}: see data_outline.h.
  nlohmann::json outline() const;

 private:
  std::uint64_t validation_sequences() const;

  job::BatchConfig batch_;
  std::uint64_t seed_;
  std::int64_t eval_sequences_;
  data::TokenDataset train_;
  std::optional<data::TokenDataset> validation_;
};

}  // namespace ptrain::stage
