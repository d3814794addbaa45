// The files that one stage has of a step, whether or not there is a manifest over all stages'
// files: what a stage saves that has lost the others, or that they had no time to agree on. Where
// all stages hold theirs, a manifest can be made of them.

#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "libcommon/ckpt/store.h"
#include "libcommon/job/partition.h"

namespace ptrain::stage {

// Whose files they must be.
struct ShareHolder {
  StageIndex stage;
  std::uint32_t stages = 1;
  job::StageSpan span;
  std::string resume_hash;
  std::string data_fingerprint;  // empty: not compared
};

std::string name_of_run(const std::string& job_hash, const std::string& data_fingerprint);

// Of which run the files are, if they are all here, in their sizes, and the job can go on from
// them: shares of one step that say the same make a checkpoint. Nothing through a symbolic link.
std::optional<std::string> run_of_share(os::Storage& storage, const ckpt::CheckpointStore& store,
                                        Step step, const ShareHolder& holder);

}  // namespace ptrain::stage
