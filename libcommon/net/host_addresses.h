// Where this host can be dialled, as far as it knows itself.

#pragma once

#include <cstddef>
#include <vector>

#include "libcommon/net/endpoint.h"
#include "libcommon/net/punch_candidates.h"

namespace ptrain::net {

// Of the interfaces that are up, without loopback; none where they cannot be listed.
std::vector<HostAddress> host_addresses();

// More of a host are told to nobody: peers dial few.
inline constexpr std::size_t kMostOwnCandidates = 6;

// Of a bound direct endpoint: itself, without its key, or, when it listens on all addresses,
// those of this host's interfaces, the likeliest first (punch_candidates.h); never loopback. A host
// whose interfaces cannot be listed has none.
std::vector<Endpoint> candidates_of(const Endpoint& bound);

// What to tell others of a bound endpoint: where it listens on all addresses, the one from which
// this host speaks to the world (nothing is sent to find that out), or else the first of its
// interfaces', or loopback where there is no other. Otherwise itself.
Endpoint as_dialled(const Endpoint& bound);

}  // namespace ptrain::net
