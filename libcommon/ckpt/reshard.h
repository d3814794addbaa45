// A checkpoint cut into other stages: layers regrouped, no number changed. Pure but for the
// reading and writing; tensor by tensor, so a few buffers of kPieceBytes are all it needs.

#pragma once

#include <span>

#include "libcommon/ckpt/checkpoint_reader.h"
#include "libcommon/ckpt/progress.h"
#include "libcommon/ckpt/store.h"
#include "libcommon/os/storage.h"

namespace ptrain::ckpt {

// Writes the checkpoint behind `source` into `target` as stages of these spans, checking every
// tensor on its way. The same tensors in the same cut have the same id, whatever cuts lay
// between. Throws Error(usage) when `target` has a manifest for that step: checkpoints are
// never written over.
CheckpointId reshard(const CheckpointReader& source, std::span<const job::StageSpan> cut,
                     os::Storage& storage, CheckpointStore& target, const Progress& progress = {});

// Throws Error(usage) unless a checkpoint of that step can be written into `target`.
void refuse_existing(os::Storage& storage, const CheckpointStore& target, Step step);

}  // namespace ptrain::ckpt
