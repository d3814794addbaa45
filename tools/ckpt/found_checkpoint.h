// The checkpoint that a word on the command line means, or the end of the command.

#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "libcommon/ckpt/checkpoint_name.h"
#include "libcommon/os/storage.h"

namespace ptrain::ckpt_tool {

// Throw cli::EarlyEnd: the first when there is no such step, whole or not; the second also when
// that step is not complete. A name alone is one in `directory`.
ckpt::FoundCheckpoint find_checkpoint(os::Storage& storage, const std::string& word,
                                      const std::string& directory);
ckpt::FoundCheckpoint find_complete(os::Storage& storage, const std::string& word,
                                    const std::string& directory);

// A folder of checkpoints, and what it holds. Throws cli::EarlyEnd when it is not there or holds
// none.
struct FolderOfCheckpoints {
  ckpt::CheckpointStore store;
  std::vector<ckpt::StepInfo> steps;  // ascending
};
FolderOfCheckpoints open_folder(os::Storage& storage, const std::string& directory);

}  // namespace ptrain::ckpt_tool
