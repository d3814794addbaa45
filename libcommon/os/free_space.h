// How much can still be written to a disk: asked before a work that would find out at its end.

#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "libcommon/base/units.h"

namespace ptrain::os {

// On the file system of `path`, for who has no privileges; nothing where it does not say.
std::optional<ByteCount> free_space(const std::filesystem::path& path);

// Throws Error(io) where so much cannot be written there: "no room for PURPOSE in PATH: 1.2 GB
// needed, 310.0 MB free".
void require_space(const std::string& purpose, const std::filesystem::path& path, ByteCount needed,
                   std::string hint);

}  // namespace ptrain::os
