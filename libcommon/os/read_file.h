// A small file as text, with a bound: what manifests and records are read by.

#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>

#include "libcommon/os/storage.h"

namespace ptrain::os {

// Throws Error(corrupt) when what lies there is no regular file (a symbolic link
// is not followed) or is longer than `max_bytes`, Error(io) when it cannot be read.
std::string read_file(Storage& storage, const std::filesystem::path& path, std::size_t max_bytes);

// The same check for a file that is read in parts; its size is the caller's to judge.
std::unique_ptr<ReadableFile> open_regular(Storage& storage, const std::filesystem::path& path);

}  // namespace ptrain::os
