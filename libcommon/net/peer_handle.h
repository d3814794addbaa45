// How this process knows a peer: a local number, drawn once, that never crosses the wire.

#pragma once

#include "libcommon/base/units.h"

namespace ptrain::net {

using PeerHandle = StrongInteger<struct PeerHandleTag, std::uint64_t>;

}  // namespace ptrain::net
