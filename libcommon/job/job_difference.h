// In which keys two jobs differ, for people, from their canonical JSON (job.h). Pure.
//
// The other text is of a peer or of a checkpoint: what is no JSON object has no keys to compare,
// and values are shown as errors show them, short and on one line.

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "libcommon/job/job.h"

namespace ptrain::job {

// As many are named; of the rest it is said how many there are.
inline constexpr std::size_t kMostKeysNamed = 8;

struct KeyDifference {
  std::string key;    // "optim.lr"
  std::string ours;   // "0.001", or "not set"
  std::string other;  // the same of the other job
  bool operator==(const KeyDifference&) const = default;
};

// In the order of the job's keys; those that this program does not know come last.
std::vector<KeyDifference> job_differences(std::string_view ours, std::string_view other);

// Of those in which a checkpoint must share the job that resumes from it (see resume_hash()), and
// of those in which it need not. `saved` is the canonical JSON of the job that saved it.
std::vector<KeyDifference> lineage_differences(const Job& job, std::string_view saved);
std::vector<KeyDifference> run_differences(const Job& job, std::string_view saved);

// "optim.lr: 0.001 here, 0.0015 there; train.steps: 20 here, 40 there"
std::string here_and(std::string_view there, const std::vector<KeyDifference>& differences);
// "train.steps: 200 -> 400": from the other job to ours.
std::string changes(const std::vector<KeyDifference>& differences);

}  // namespace ptrain::job
