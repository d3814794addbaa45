// What a run of several stages spends its time on, in a sentence, from what the stages measured.
// Pure.
//
// Nothing is said unless it stands out and the figures of both sides bear it: a link counts for no
// more than its receiver waited for it, because what travels while everybody computes costs
// nothing.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "libcommon/wire/training.h"

namespace ptrain::metrics {

// Whether another codec could halve what crosses between stages.
struct HalvableWire {
  bool forward = false;
  bool backward = false;
};

// In fewer steps than these, the first ones, in which everything starts, say too much.
inline constexpr std::uint64_t kFewestSteps = 10;

// "63 % of the step is the link from stage 1 to stage 2, 8 Mbit/s; a codec of half the bytes would
// give up to 1.4x", "stage 2 computes 1.4 times as long as the others". Nothing where nothing
// stands out, or a stage has not said its figures.
std::optional<std::string> bottleneck(std::uint64_t steps,
                                      const std::vector<wire::StageTime>& stages,
                                      const HalvableWire& wire);

}  // namespace ptrain::metrics
