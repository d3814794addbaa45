// Which checkpoints may go: a pure function of what is there and of what a person asked to
// keep. Carrying it out is CheckpointStore::remove_step.

#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "libcommon/ckpt/store.h"

namespace ptrain::ckpt {

struct RetentionPolicy {
  std::uint64_t keep_last = 1;   // newest checkpoints; 1 at least
  std::uint64_t keep_every = 0;  // steps that are multiples of it; 0: none for that reason
};

// A step without a manifest may be on its way; no save takes this long without writing a byte.
inline constexpr std::chrono::minutes kSaveMayLast{60};

struct Retention {
  Step step;
  bool keep = true;
  std::string reason;  // for people
};

// What this folder was meant to hold is here by its sizes: the whole checkpoint, or, on one
// host of several, at least one stage of it and nothing that is damaged.
bool is_usable(const StepInfo& info);

// The newest usable step that passes `verify`, which reads its data.
std::optional<Step> newest_verified(std::span<const StepInfo> steps,
                                    const std::function<bool(const StepInfo&)>& verify);

// One decision a step, in the order of `steps`, which is ascending. Kept are: the verified one
// and everything newer, what the policy asks for among the usable ones, and what may still be
// being written. Incomplete and corrupt steps that are older go.
std::vector<Retention> plan_retention(std::span<const StepInfo> steps, Step verified,
                                      const RetentionPolicy& policy,
                                      std::chrono::system_clock::time_point now);

}  // namespace ptrain::ckpt
