// The checkpoint that a word on the command line means: "latest", "1200", "step-00001200",
// "3fa9c2e1", or one of these behind a folder: "run/ckpt/latest".

#pragma once

#include <filesystem>
#include <string>

#include "libcommon/ckpt/store.h"
#include "libcommon/os/storage.h"

namespace ptrain::ckpt_tool {

struct CheckpointName {
  std::filesystem::path directory;  // the folder of checkpoints
  std::string which;                // what CheckpointStore::find takes

  bool operator==(const CheckpointName&) const = default;
};

// A word without a / is a name in `directory`.
CheckpointName parse_checkpoint_name(std::string_view word, const std::string& directory);

struct FoundCheckpoint {
  ckpt::CheckpointStore store;  // for reading
  ckpt::StepInfo info;

  std::filesystem::path folder() const { return store.step_directory(info.step); }
};

// Throw EarlyEnd: the first when there is no such step, whole or not; the second also when
// that step is not complete.
FoundCheckpoint find_checkpoint(os::Storage& storage, const CheckpointName& name);
FoundCheckpoint find_complete(os::Storage& storage, const CheckpointName& name);

}  // namespace ptrain::ckpt_tool
