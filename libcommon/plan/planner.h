// From files to a plan: makes the problem that a job is on these hosts, has it searched, and says
// what came out and why. Pure, and the same on every machine.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "libcommon/job/job.h"
#include "libcommon/plan/compute_file.h"
#include "libcommon/plan/links_file.h"
#include "libcommon/plan/plan_file.h"
#include "libcommon/plan/search.h"

namespace ptrain::plan {

// What a codec has to bring over those that lose less.
inline constexpr double kWorthALoss = 0.05;

// Among more hosts than these the slower ones are not looked at, but for the best of each site.
inline constexpr std::size_t kMostCandidates = 1024;
inline constexpr std::size_t kBestOfASite = 4;

struct PlanInput {
  const job::Job& job;
  const Links& links;
  const std::vector<HostCompute>& compute;
  std::vector<std::int64_t> other_micros{};  // that may replace batch.micro
  // That may replace wire.forward and wire.backward.
  std::vector<job::WireCodec> other_forward{};
  std::vector<job::WireCodec> other_backward{};
  std::string numerics{};  // hosts of this class only; empty: all must have one
  SearchMode mode = SearchMode::heuristic;
};

struct UnusedHost {
  std::string host;
  std::string why;
};

struct Planned {
  std::optional<PlanFile>
      plan;  // without job_hash, which follows from `set`; empty: none is possible
  std::vector<UnusedHost> unused;
};

// Throws Error(corrupt) that names the file, the host and the value where the compute was measured
// for another job's shapes or for another microbatch, is of a host that the links do not have, or
// of another numerics class than the others'; Error(usage) for a microbatch that does not divide
// batch.global, and for a job of several lanes.
//
// Where codecs may be chosen, it plans with each pair of them: the least lossy one stays unless
// another is faster by kWorthALoss, and so on to the lossiest.
Planned make_plan(const PlanInput& input);

std::vector<BlockKind> blocks_of(const job::ModelConfig& model);
// Where stages of a plan may begin and end: between any two blocks, or at declared borders.
std::vector<std::size_t> borders_of(const job::Job& job);
// Whether codecs that lose something act at the job's borders, wherever stages end. What crosses
// elsewhere loses nothing, and is larger: plans cut there only.
bool cuts_at_its_borders(const job::Job& job);

// Throws Error(corrupt) that names the oldest of what was measured before `oldest_s`, seconds since
// 1970.
void check_age(const PlanInput& input, double oldest_s);

}  // namespace ptrain::plan
