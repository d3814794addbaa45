// Where `ptrain-stage run` stands in its job, as its options say, and its sessions with the others:
// between endpoints that were named, or through the relays of a ticket.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/base/log.h"
#include "libcommon/job/job.h"
#include "libcommon/net/endpoint.h"
#include "libcommon/net/keys.h"
#include "libcommon/net/mesh.h"
#include "tools/stage/engine/job_data.h"
#include "tools/stage/engine/place.h"
#include "tools/stage/run.h"

namespace ptrain::stage {

struct Membership {
  Place place;
  std::vector<net::Endpoint> endpoints;  // by worker; none where relays know them
};

// Throws Error(usage) when the options contradict each other or the job.
Membership membership(const RunOptions& options, const job::Job& job);

// What may be queued for one stage before whoever sends to it waits for room: two of the largest
// tensors, so that one is under way while the next is computed.
ByteCount send_ahead(const job::Job& job);

// Prints where this stage listens, as soon as it does. `data` is null where it has no data. Throws
// what the Mesh throws, Error(permission) for a ticket that has expired or that others may read.
std::unique_ptr<net::Mesh> open_mesh(const RunOptions& options, const Membership& member,
                                     const job::Job& job, const JobData* data, Log& log,
                                     const Clock& clock);

}  // namespace ptrain::stage
