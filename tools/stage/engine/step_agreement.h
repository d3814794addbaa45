// How the stages of a job agree on one optimiser step. Pure.
//
// Every stage reports the float64 sum of squares of each of its parameters'
// gradients; the driver adds them in canonical parameter order, and the losses of the lanes as the
// tree over lanes says (reduce/lane_tree.h). The order of a floating-point sum is part of its
// result, so this is what makes the clip factor, and with it the weights, the same bit for bit
// however the job is cut.

#pragma once

#include <cstdint>
#include <span>

#include "libcommon/wire/training.h"

namespace ptrain::stage {

// `reports` of the stages in their order; concatenated they list every parameter once, in canonical
// order. `lane_losses` in nats, one a lane; what the reports say of losses and stops is not read.
// `clip_norm` is the largest global gradient norm that is left alone, 0 meaning any;
// `tokens` the number that the step's loss sums over. The factor is
// min(1, clip_norm / (norm + 1e-6)) (Pascanu et al. 2013, with PyTorch's epsilon).
//
// Throws Error(corrupt) where the loss or the norm is not finite: the run has diverged.
wire::StepVerdict agree(Step step, std::span<const wire::StepReport> reports,
                        std::span<const double> lane_losses, double clip_norm,
                        std::uint64_t tokens);

}  // namespace ptrain::stage
