// The number of a connection, drawn once by whoever made it; each side has its own.

#pragma once

#include "libcommon/base/units.h"

namespace ptrain::net {

using LinkId = StrongInteger<struct LinkTag, std::uint64_t>;

}  // namespace ptrain::net
