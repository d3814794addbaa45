#include "libcommon/plan/plan_file.h"

#include <algorithm>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/sha256.h"
#include "libcommon/base/strict_json.h"
#include "libcommon/plan/json_entry.h"

namespace ptrain::plan {
namespace {

constexpr std::uint64_t kMostStages = 1 << 16;
constexpr std::uint64_t kMostLanes = 1 << 16;

std::vector<std::string> read_set(JsonEntry& file) {
  std::vector<std::string> lines;
  for (const nlohmann::json& line : file.list("set")) {
    const bool sets = line.is_string() && line.get_ref<const std::string&>().find('=') > 0 &&
                      line.get_ref<const std::string&>().find('=') != std::string::npos;
    if (!sets) file.fail("set", "an array of KEY=VALUE");
    lines.push_back(line.get<std::string>());
  }
  return lines;
}

// Each stage has the same lanes, and each cell is there once: so they are when they are in order.
std::vector<PlacedCell> read_view(JsonEntry& file, std::string_view where) {
  const nlohmann::json& cells = file.list("view");
  std::vector<PlacedCell> view;
  std::uint32_t lanes = 0;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    JsonEntry entry(cells[i], {.file = where, .list = "view", .index = i});
    const auto stage = static_cast<std::uint32_t>(entry.whole("stage", 0, kMostStages));
    const auto lane = static_cast<std::uint32_t>(entry.whole("lane", 0, kMostLanes));
    if (stage == 0) lanes = std::max(lanes, lane + 1);
    const std::size_t place = std::size_t{stage} * lanes + lane;
    if (lanes == 0 || lane >= lanes || place != i) {
      entry.fail("stage", "each stage and lane once, in order");
    }
    view.push_back({StageIndex(stage), lane, entry.name("host")});
    entry.finish();
  }
  if (view.empty()) file.fail("view", "one cell at least");
  if (view.size() % lanes != 0) file.fail("view", "as many lanes of each stage");
  return view;
}

}  // namespace

std::uint32_t PlanFile::stages() const { return view.empty() ? 0 : view.back().stage.value() + 1; }

std::vector<StageIndex> PlanFile::stages_of(std::string_view host) const {
  std::vector<StageIndex> stages;
  for (const PlacedCell& cell : view) {
    if (cell.host == host && (stages.empty() || stages.back() != cell.stage)) {
      stages.push_back(cell.stage);
    }
  }
  return stages;
}

PlanFile read_plan(std::string_view json, const std::string& where) {
  const nlohmann::json value = parse_strict_json(without_preamble(json), where);
  JsonEntry file(value, {.file = where});
  file.kind("plan", 1);
  PlanFile plan{.job_hash = file.text("job_hash")};
  if (!sha256_from_hex(plan.job_hash)) {
    file.fail("job_hash", "64 lower-case hexadecimal digits");
  }
  plan.set = read_set(file);
  plan.view = read_view(file, where);
  plan.tokens_per_s = file.positive_at_all("tokens_per_s");
  plan.step_s = file.positive_at_all("step_s");
  plan.explanation = file.any("explanation");
  if (!plan.explanation.is_object()) file.fail("explanation", "an object");
  file.finish();
  return plan;
}

std::string write_plan(const PlanFile& plan) {
  nlohmann::ordered_json view = nlohmann::ordered_json::array();
  for (const PlacedCell& cell : plan.view) {
    view.push_back({{"stage", cell.stage.value()}, {"lane", cell.lane}, {"host", cell.host}});
  }
  const nlohmann::ordered_json json{{"kind", "plan"},
                                    {"version", 1},
                                    {"job_hash", plan.job_hash},
                                    {"set", plan.set},
                                    {"view", view},
                                    {"tokens_per_s", plan.tokens_per_s},
                                    {"step_s", plan.step_s},
                                    {"explanation", plan.explanation}};
  return json.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

void check_job(const PlanFile& plan, const std::string& job_hash, const std::string& where) {
  if (plan.job_hash == job_hash) return;
  throw Error(ErrorKind::corrupt,
              fmt::format("{}: made for the job {}, this one is {}", where,
                          plan.job_hash.substr(0, 12), job_hash.substr(0, 12)),
              "plan again with this job: ptrain-probe plan");
}

}  // namespace ptrain::plan
