// The end of a fetch: what came becomes a checkpoint.

#pragma once

#include <map>
#include <span>

#include "libcommon/ckpt/store.h"
#include "libcommon/os/storage.h"
#include "libcommon/transfer/local_file.h"

namespace ptrain::transfer {

// Data, then records, then the manifest: each durable before the next, also where a part of it
// was here already and somebody else wrote it. Nothing of `files` is missing any more.
void complete_step(os::Storage& storage, ckpt::CheckpointStore& store,
                   const ckpt::Manifest& manifest,
                   const std::map<StageIndex, ckpt::StageRecord>& records,
                   std::span<LocalFile* const> files);

}  // namespace ptrain::transfer
