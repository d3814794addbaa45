// What the keys of a job must fulfil together, after each was found good by
// itself (job_keys.h), and the values that absent keys take from others. Pure.

#pragma once

#include <optional>
#include <string>
#include <vector>

#include "libcommon/job/job.h"

namespace ptrain::job {

struct Complaint {
  std::vector<std::string> keys;  // involved, the likeliest culprit first
  std::string problem;            // follows "KEY = VALUE: "
  std::string hint;
};

// num_key_value_heads and head_dim, where they are 0, from the sizes that decide them.
void derive(ModelConfig& model);
// The same, and max_position_embeddings from data.seq_len.
void derive(Job& job);

// The first thing that is wrong, if any.
std::optional<Complaint> check(const ModelConfig& model);
std::optional<Complaint> check(const Job& job);

}  // namespace ptrain::job
