// Averages of the weights over steps (optim.ema), where a checkpoint has them: for those who want
// them in place of the weights.

#pragma once

#include "libcommon/ckpt/checkpoint_reader.h"

namespace ptrain::ckpt {

// Throws Error(usage) where the checkpoint has none.
void require_averages(const CheckpointReader& source);

}  // namespace ptrain::ckpt
