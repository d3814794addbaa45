// What reshard, merge and import say when they have written a checkpoint.

#pragma once

#include <filesystem>

#include "libcommon/ckpt/manifest.h"

namespace ptrain::ckpt_tool {

// The folder and the id on stdout, as text or as JSON.
void print_written(const std::filesystem::path& folder, const ckpt::CheckpointId& id,
                   const ckpt::Manifest& manifest, bool json);

}  // namespace ptrain::ckpt_tool
