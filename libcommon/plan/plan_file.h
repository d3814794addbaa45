// A plan as a value, and its file (ptrain-plan(5), PLAN): what ptrain-probe plan writes, and
// ptrain-stage and recipes read. Pure.
//
// It has two parts that a run obeys: `set` changes the job, and so its hash; the view says who
// holds what, and changes no bit. The explanation is for people.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "libcommon/base/units.h"

namespace ptrain::plan {

inline constexpr std::size_t kMaxPlanFileBytes = std::size_t{64} << 20;

struct PlacedCell {
  StageIndex stage{};
  std::uint32_t lane = 0;
  std::string host{};

  bool operator==(const PlacedCell&) const = default;
};

struct PlanFile {
  std::string job_hash{};          // of the job with `set`
  std::vector<std::string> set{};  // KEY=VALUE each, as --set takes them
  std::vector<PlacedCell> view{};  // by stage, then by lane
  double tokens_per_s = 0;         // predicted
  double step_s = 0;
  nlohmann::ordered_json explanation = nlohmann::ordered_json::object();

  std::uint32_t stages() const;
  // Those that this host holds, in order; empty: it has no part in the plan.
  std::vector<StageIndex> stages_of(std::string_view host) const;
};

// Throws Error(corrupt) with the entry, the key and the value for what is not as ptrain-plan(5)
// says: a cell that is given twice or missing, a line of `set` that is none.
PlanFile read_plan(std::string_view json, const std::string& where);

// One line, without its end: read_plan() gives the same again.
std::string write_plan(const PlanFile& plan);

// Throws Error(corrupt) where the plan was made for another job than the one with this hash.
void check_job(const PlanFile& plan, const std::string& job_hash, const std::string& where);

}  // namespace ptrain::plan
