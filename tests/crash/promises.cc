#include "tests/crash/promises.h"

#include <algorithm>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/ckpt/checkpoint_reader.h"
#include "libcommon/ckpt/store.h"

namespace ptrain::crash {

namespace fs = std::filesystem;

namespace {

ckpt::CheckpointStore store_of(os::Storage& disk, const fs::path& folder) {
  return {disk, folder, "reader"};
}

}  // namespace

void Promises::watch(const fs::path& folder, std::set<StageIndex> stages) {
  folders_[folder] = std::move(stages);
  ++version_;
}

void Promises::saved(const fs::path& folder, Step step, ckpt::CheckpointId id) {
  withdrawn(folder, step);
  damaged_.erase({folder, step});
  saved_[{folder, step}] = id;
}

void Promises::removed(const fs::path& folder, Step step) {
  withdrawn(folder, step);
  damaged_.erase({folder, step});
  removed_.insert({folder, step});
}

void Promises::withdrawn(const fs::path& folder, Step step) {
  saved_.erase({folder, step});
  removed_.erase({folder, step});
  ++version_;
}

void Promises::damaged(const fs::path& folder, Step step) {
  withdrawn(folder, step);
  damaged_.insert({folder, step});
}

// Why the step is not what its manifest says; nothing where it is, or has no manifest.
std::optional<std::string> Promises::flaw(os::Storage& disk, const Key& key) const {
  const auto& [folder, step] = key;
  const auto info = store_of(disk, folder).inspect(step);
  if (!info) return std::nullopt;
  if (info->state == ckpt::StepState::corrupt) return info->reason;
  if (!info->manifest) return std::nullopt;
  const std::set<StageIndex>& stages = folders_.at(folder);
  const bool all_here = stages.empty();
  if (all_here && info->state != ckpt::StepState::complete) return info->reason;
  for (const StageIndex stage : stages) {
    if (std::ranges::find(info->held, stage) == info->held.end()) {
      return fmt::format("stage {} is not whole: {}", stage.value(), info->reason);
    }
  }
  try {
    ckpt::CheckpointReader(disk, folder / ckpt::step_name(step),
                           all_here ? ckpt::Coverage::all_stages : ckpt::Coverage::held_stages)
        .verify_data();
  } catch (const Error& error) {
    return error.what();
  }
  return std::nullopt;
}

std::vector<std::string> Promises::broken(os::Storage& disk) const {
  std::vector<std::string> sentences;
  const auto say = [&](const Key& key, const std::string& what) {
    sentences.push_back(
        fmt::format("{}/{}: {}", key.first.string(), ckpt::step_name(key.second), what));
  };
  for (const auto& [folder, stages] : folders_) {
    for (const std::string& name : disk.list(folder)) {
      const auto step = ckpt::step_from_name(name);
      if (!step || damaged_.contains({folder, *step})) continue;
      if (const auto what = flaw(disk, {folder, *step})) {
        say({folder, *step}, "has a manifest and is not whole: " + *what);
      }
    }
  }
  for (const auto& [key, id] : saved_) {
    const auto info = store_of(disk, key.first).inspect(key.second);
    if (!info || !info->id) {
      say(key, "was saved, and is not there");
    } else if (*info->id != id) {
      say(key, "was saved, and is another checkpoint");
    }
  }
  for (const Key& key : removed_) {
    const auto info = store_of(disk, key.first).inspect(key.second);
    if (info && info->manifest) say(key, "was removed, and is back");
  }
  return sentences;
}

}  // namespace ptrain::crash
