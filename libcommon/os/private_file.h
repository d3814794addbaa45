// A small file that holds a secret: its owner's alone, or it is not read at all.

#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace ptrain::os {

// The text of the file, at most `max_bytes` of it. `what` says what it should be: "key file".
// Throws Error(permission) with the remedy when others may read or change it, Error(corrupt)
// when it is longer or no regular file, Error(io). The caller wipes the text.
std::string read_private_file(const std::filesystem::path& path, std::string_view what,
                              std::size_t max_bytes);

// A new file of mode 0600, durable; the text is wiped. Throws Error(usage) when there is one
// already, Error(io).
void create_private_file(const std::filesystem::path& path, std::string_view what,
                         std::string text);

}  // namespace ptrain::os
