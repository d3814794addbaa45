// The number of a connection, drawn once by whoever made it.

#pragma once

#include "libcommon/base/units.h"

namespace ptrain::net {

using PathId = StrongInteger<struct PathTag, std::uint64_t>;

}  // namespace ptrain::net
