// A whole job as in world.h, over real sessions: every process has a Mesh, and with it a Node, on
// virtual time, over a network whose connections are slow, break, fall silent, are refused, and
// from which hosts are cut off. Everything that happens follows from the seed.

#pragma once

#include "tests/sim/world.h"

namespace ptrain::sim {

// Runs the job to its end, from one set of lives to the next. Throws as run_world() does.
WorldResult run_session_world(const WorldJob& job, const stage::JobData& data,
                              const WorldOptions& options);

}  // namespace ptrain::sim
