// Where this host can be dialled, as far as it knows itself.

#pragma once

#include <vector>

#include "libcommon/net/endpoint.h"

namespace ptrain::net {

// Of a bound direct endpoint: itself, without its key, or, when it listens on all addresses,
// those of this host's interfaces; never loopback. At most kMaxCandidates. A host whose
// interfaces cannot be listed has none.
std::vector<Endpoint> candidates_of(const Endpoint& bound);

// What to tell others of a bound endpoint: where it listens on all addresses, the one from which
// this host speaks to the world (nothing is sent to find that out), or else the first of its
// interfaces', or loopback where there is no other. Otherwise itself.
Endpoint as_dialled(const Endpoint& bound);

}  // namespace ptrain::net
