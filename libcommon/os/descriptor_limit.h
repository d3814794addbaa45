// How many descriptors this process may have. The usual 1024 is a default for old programs that
// keep sets of them in 128 bytes; connections, files and threads of ptrain's need more.

#pragma once

#include <cstddef>

namespace ptrain::os {

// To what the system allows; does nothing when it refuses. Every program does it at its start.
void raise_descriptor_limit();

// As it is now.
std::size_t descriptor_limit();

// How many more this process can open. What can wait, such as one more attempt to reach somebody,
// leaves kReservedDescriptors for what cannot: the files of a checkpoint that is being written.
std::size_t descriptors_left();
inline constexpr std::size_t kReservedDescriptors = 16;

}  // namespace ptrain::os
