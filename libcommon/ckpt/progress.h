// What long work tells its caller as it goes on, and how it is stopped.

#pragma once

#include <functional>

#include "libcommon/base/units.h"

namespace ptrain::ckpt {

// Told of bytes as they have been read, on the thread that asked for the work. It may throw
// to stop: unfinished files are removed on the way out, finished ones stay, and the work can
// be done again. May be empty.
using Progress = std::function<void(ByteCount)>;

}  // namespace ptrain::ckpt
