// The stages of one step from the folders of several hosts, brought together in one.
// Every byte is checked while it is copied.

#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include "libcommon/base/log.h"
#include "libcommon/ckpt/manifest.h"
#include "libcommon/ckpt/progress.h"
#include "libcommon/ckpt/store.h"
#include "libcommon/os/storage.h"

namespace ptrain::ckpt {

// Where a stage of the step was found whole, by structure.
struct StageSource {
  std::filesystem::path folder;  // a step's
  StageRecord record;
};

// What merging will do: one source a stage, in order, and the manifest that follows.
struct MergePlan {
  std::vector<StageSource> sources;
  Manifest manifest;
};

// Looks for the stages in the step's folder of each directory; the first that holds a stage
// with all its files gives it. Throws Error(corrupt) when a stage is nowhere, when records
// disagree (naming the field and both values), or when they contradict a manifest that one of
// the directories has.
MergePlan plan_merge(os::Storage& storage, std::span<const std::filesystem::path> directories,
                     Step step);

// The plan for the newest step whose stages the directories hold between them. A newer one that
// cannot be put together is passed over, with a warning; where that is so of all, the first reason
// is thrown. nullopt: there are no steps at all.
std::optional<MergePlan> plan_newest_merge(os::Storage& storage,
                                           std::span<const std::filesystem::path> directories,
                                           Log& log);

// Carries it out. `target` may be one of the directories: what it holds already is checked in
// place. Throws Error(usage) when it has a manifest of another checkpoint of that step.
CheckpointId merge(os::Storage& storage, const MergePlan& plan, CheckpointStore& target,
                   const Progress& progress = {});

}  // namespace ptrain::ckpt
