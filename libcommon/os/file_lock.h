// A lock on a whole file, which says who holds it: a claim on the folder that the file lies in.
//
// The kernel takes the lock back when its holder ends, however that ends; the file stays. It is
// held by an open file and not by a process, so asking for its state takes none. Over NFS the lock
// is the server's. Free functions over an open file.

#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "libcommon/os/file_descriptor.h"

namespace ptrain::os {

inline constexpr std::size_t kMaxHolderBytes = 4096;

// Makes the file where it is not there. Throws Error(io) with that hint.
FileDescriptor open_lock_file(const std::filesystem::path& path, const std::string& hint);

enum class LockOutcome { taken, held_elsewhere, unsupported };
// Does not wait. With `unsupported`, errno says why the disk cannot be asked.
LockOutcome try_lock(const FileDescriptor& file);
bool is_locked_elsewhere(const FileDescriptor& file);

// What its holder has written; empty where there is nothing yet.
std::string holder_text(const FileDescriptor& file);
// Durably. Throws Error(io) with that hint.
void write_holder_text(const FileDescriptor& file, const std::filesystem::path& path,
                       std::string_view text, const std::string& hint);

// As others call it.
std::string host_name();

}  // namespace ptrain::os
