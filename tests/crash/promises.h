// What a program was promised about its checkpoints, and what must therefore hold of a disk
// after a crash.
//
// A save that has returned promises the step; a removal that has returned, that it stays
// away. From the moment a step is to be replaced or removed, nothing is promised of it. But
// always: a step that has a manifest is whole, to the last byte. One thread. A value.

#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "libcommon/ckpt/manifest.h"
#include "libcommon/os/storage.h"

namespace ptrain::crash {

class Promises {
 public:
  // A folder of checkpoints. `stages`: those whose files lie here, where others lie elsewhere.
  void watch(const std::filesystem::path& folder, std::set<StageIndex> stages = {});
  void saved(const std::filesystem::path& folder, Step step, ckpt::CheckpointId id);
  void removed(const std::filesystem::path& folder, Step step);
  // Neither there nor away: it is about to be saved over, or removed.
  void withdrawn(const std::filesystem::path& folder, Step step);
  // It was damaged before; until it is saved() again it may look so.
  void damaged(const std::filesystem::path& folder, Step step);

  // Changes with every promise.
  std::uint64_t version() const { return version_; }
  // What does not hold of that disk; one sentence each.
  std::vector<std::string> broken(os::Storage& disk) const;

 private:
  using Key = std::pair<std::filesystem::path, Step>;

  std::optional<std::string> flaw(os::Storage& disk, const Key& key) const;

  std::map<std::filesystem::path, std::set<StageIndex>> folders_;
  std::map<Key, ckpt::CheckpointId> saved_;
  std::set<Key> removed_;
  std::set<Key> damaged_;
  std::uint64_t version_ = 0;
};

}  // namespace ptrain::crash
