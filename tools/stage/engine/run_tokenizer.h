// The tokenizer that a run's checkpoints carry, at the stage that embeds: data.tokenizer of the
// job, or else that of the checkpoint from which the run goes on. Shards say which one made them.

#pragma once

#include <optional>
#include <string>

#include "libcommon/base/sha256.h"
#include "libcommon/ckpt/checkpoint_reader.h"
#include "libcommon/data/dataset.h"
#include "libcommon/job/job.h"
#include "libcommon/os/storage.h"

namespace ptrain::stage {

class RunTokenizer {
 public:
  // Reads the model that the job names. Throws Error(io) when it cannot be.
  RunTokenizer(const job::Job& job, os::Storage& storage);

  // Throws Error(usage) when the checkpoint has another one than the job names.
  void continue_from(const ckpt::CheckpointReader& checkpoint);
  // Throws Error(usage) when a shard was made by another one.
  void check(const data::TokenDataset& dataset) const;

  // The bytes of the model; nothing for "bytes".
  const std::optional<std::string>& model() const { return model_; }

 private:
  std::optional<Sha256Digest> digest() const;

  std::string name_;  // data.tokenizer
  bool named_;
  std::optional<std::string> model_;
};

}  // namespace ptrain::stage
