// What a running job shows of its hosts and links, in the place of what was measured before it: its
// stages' metrics (ptrain-stage(1), METRICS). Pure.

#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/job/job.h"
#include "libcommon/plan/compute_file.h"
#include "libcommon/plan/links_file.h"
#include "libcommon/plan/plan_file.h"

namespace ptrain::plan {

inline constexpr std::size_t kMaxMetricsFileBytes = std::size_t{1} << 30;
// Of a file the last steps count: a host that has become slower is.
inline constexpr std::size_t kMostRecentSteps = 50;
inline constexpr std::size_t kFewestRecentSteps = 3;

// Medians over the steps that count.
struct RunningLink {
  std::optional<double> rate_bytes_per_s{};
  std::optional<double> round_trip_s{};

  bool operator==(const RunningLink&) const = default;
};

struct RunningStage {
  std::string where{};                           // for errors
  std::string numerics{};                        // empty: the file does not say it
  double compute_s = 0;                          // of a step
  std::map<std::uint32_t, RunningLink> links{};  // by the stage at their other end
};

// Throws Error(corrupt) with the line, the key and the value for what is not as ptrain-stage(1)
// says, and for fewer than kFewestRecentSteps. A last line without its end is still being written.
RunningStage read_running_stage(std::string_view metrics, const std::string& where);

// `stages` are those of `plan`, in order, of a job with the plan's `set`. The hosts' seconds are
// scaled to what their stages took, their links replaced where a stage has figures. `time_s` is
// when that was. Throws Error(corrupt) where the number of stages, a peer, a host or its numerics
// class is another one than the plan's and the files'.
void take_running(const job::Job& job, const PlanFile& plan,
                  const std::vector<RunningStage>& stages, double time_s, Links& links,
                  std::vector<HostCompute>& compute);

}  // namespace ptrain::plan
