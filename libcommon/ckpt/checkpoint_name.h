// The checkpoint that a word on a command line means, the same in every program
// (ptrain-checkpoint(5), NAMING A CHECKPOINT).
//
// A name alone (latest, 1200, step-00001200, 3fa9c2e1) is one in the folder that is given; behind
// a path (run/ckpt/latest) one in that folder; a folder alone means its newest checkpoint. Where a
// folder holds no step and has a ckpt/ in it, as a recipe's has, that is the folder of checkpoints.
//
// What is not there is an answer, in words, and no Error.

#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <variant>

#include "libcommon/ckpt/store.h"
#include "libcommon/os/storage.h"

namespace ptrain::ckpt {

struct CheckpointName {
  std::filesystem::path directory;  // the folder of checkpoints
  std::string which;                // what CheckpointStore::find takes; empty: a folder was named

  bool operator==(const CheckpointName&) const = default;
};

// The folder of checkpoints that is meant by `path`: itself, or its ckpt/.
std::filesystem::path checkpoint_folder(os::Storage& storage, const std::filesystem::path& path);

// A name alone is one in `directory`.
CheckpointName parse_checkpoint_name(os::Storage& storage, std::string_view word,
                                     const std::filesystem::path& directory);

struct FoundCheckpoint {
  CheckpointStore store;  // for reading
  StepInfo info;

  std::filesystem::path folder() const { return store.step_directory(info.step); }
};

// Why there is none, for people.
struct NoCheckpoint {
  std::string why;
  std::string hint;
  bool corrupt = false;  // it is there, and damaged
};

using LookedUp = std::variant<FoundCheckpoint, NoCheckpoint>;

// A step that is there, whole or not; of a folder alone, the newest one that claims to exist.
LookedUp find_checkpoint(os::Storage& storage, const CheckpointName& name);
// A complete one; of a folder alone, the newest of those. Of one whose other stages are on other
// hosts the words say so, and how they are fetched.
LookedUp find_complete(os::Storage& storage, const CheckpointName& name);

// Where a folder holds only some stages of a step: "out/ckpt holds stage 1 of 3 of step 80; fetch
// the others with ptrain-ckpt fetch ...", from whoever meets through that ticket, if there is one.
// Empty where it holds all, or none.
std::string words_on_share(const std::filesystem::path& directory, const StepInfo& info,
                           const std::string& ticket_file);
std::string words_on_share(os::Storage& storage, const std::filesystem::path& directory, Step step,
                           const std::string& ticket_file);

// The name, for CheckpointStore::find, of a checkpoint that must be one in `directory`. A word
// without a / is returned as it is. Throws Error(usage) when it is in another folder.
std::string name_within(os::Storage& storage, const std::string& word,
                        const std::filesystem::path& directory);

}  // namespace ptrain::ckpt
