// A whole job in one thread on virtual time: the real engine, driver, inbox and checkpointer of
// every process, a cell whose arithmetic is a digest, a disk that forgets what was not synced, and
// a network that keeps the order of each pair's messages of one urgency, and nothing else.
//
// Everything that happens follows from the seed: what the job is, how long each message and each
// computation takes, which stages die when, and what their disks keep. Stages that die end the run,
// as they do in a job whose endpoints are named; then all of them are started again, until the job
// is done. Deterministic: the same seed gives the same trace.

#pragma once

#include <cstdint>
#include <string>

#include "libcommon/job/layout.h"
#include "tools/stage/engine/job_data.h"

namespace ptrain::sim {

struct WorldOptions {
  std::uint64_t seed = 0;
  bool faults = true;
};

struct WorldResult {
  std::string weights_sha256;
  std::uint64_t trace = 0;  // a digest of all events in their order
  std::uint64_t events = 0;
  int deaths = 0;
  double virtual_s = 0;
};

// What the seed makes of a job: its stages and lanes and who holds them, its microbatches,
// schedule, intervals.
struct WorldJob {
  job::Job job;
  job::Layout layout = job::Layout::of_stages(1);
};
WorldJob job_of(std::uint64_t seed, const std::string& shards);

// Runs the job to its end. Throws what a stage ended with that should not have, or an
// Error(internal) that says where everybody waits.
WorldResult run_world(const WorldJob& job, const stage::JobData& data, const WorldOptions& options);

}  // namespace ptrain::sim
