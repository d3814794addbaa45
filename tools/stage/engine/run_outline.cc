#include "tools/stage/engine/run_outline.h"

#include <array>
#include <variant>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "libcommon/job/lanes.h"
#include "libcommon/pipeline/simulator.h"

namespace ptrain::stage {
namespace {

// "8.5 M", with three digits at most before the point.
std::string quantity(double value) {
  constexpr std::array kPrefixes{"", " k", " M", " G", " T"};
  std::size_t prefix = 0;
  while (value >= 999.5 && prefix + 1 < kPrefixes.size()) {
    value /= 1000;
    ++prefix;
  }
  return prefix == 0 || value >= 99.95 ? fmt::format("{:.0f}{}", value, kPrefixes[prefix])
                                       : fmt::format("{:.1f}{}", value, kPrefixes[prefix]);
}

std::string quantity(std::uint64_t value) { return quantity(static_cast<double>(value)); }

std::string bytes_text(std::uint64_t bytes) {
  return bytes < 1000 ? fmt::format("{} bytes", bytes) : quantity(bytes) + "B";
}

// ", lanes 0 and 1 of 4"
std::string lanes_text(const Place& place) {
  if (place.lanes() == 1) return "";
  if (place.cells().size() == place.lanes()) return fmt::format(", all {} lanes", place.lanes());
  std::vector<std::uint32_t> lanes;
  for (const job::CellIndex& cell : place.cells()) lanes.push_back(cell.lane.value());
  return fmt::format(", lane{} {} of {}", lanes.size() == 1 ? "" : "s", fmt::join(lanes, " and "),
                     place.lanes());
}

std::string stage_text(const RunOutline& run) {
  const auto own = job::parameters(run.job.model, run.span);
  const std::string of = run.place.stages() == 1
                             ? ""
                             : " of " + quantity(count_parameters(job::parameters(run.job.model)));
  return fmt::format("stage {} of {}{}: {}; {}{} parameters; needs {} of memory",
                     run.place.stage().value(), run.place.stages(), lanes_text(run.place),
                     job::text_of(run.span), quantity(count_parameters(own)), of,
                     bytes_text(run.memory.needed_bytes));
}

std::string work_text(const RunOutline& run) {
  const std::uint64_t steps = run.job.train.steps - run.begin.value();
  const std::uint64_t tokens = steps * run.job.tokens_per_step();
  std::string text = fmt::format("{} steps of {} tokens each: {} tokens", steps,
                                 run.job.tokens_per_step(), quantity(tokens));
  if (!run.windows) return text;
  const double samples = static_cast<double>(steps) * static_cast<double>(run.job.batch.global);
  return text + fmt::format(", {:.2g} passes over data.train",
                            samples / static_cast<double>(*run.windows));
}

std::string pipeline_text(const RunOutline& run) {
  const bool gpipe = run.job.pipeline.schedule == job::PipelineSchedule::gpipe;
  return fmt::format("{}, {} microbatches a step: equal stages on fast links wait {:.0f} % of it",
                     gpipe ? "gpipe" : "1f1b", run.job.batch.microbatches(),
                     100 * predicted_bubble(run.job, run.place.stages(), run.in_flight));
}

}  // namespace

std::uint64_t count_parameters(const std::vector<job::ParameterSpec>& parameters) {
  std::uint64_t count = 0;
  for (const job::ParameterSpec& spec : parameters) {
    std::uint64_t elements = 1;
    for (const std::int64_t extent : spec.shape) elements *= static_cast<std::uint64_t>(extent);
    count += elements;
  }
  return count;
}

double predicted_bubble(const job::Job& job, std::uint32_t stages, std::uint32_t in_flight) {
  pipeline::PipelineCost cost;
  cost.stages.assign(stages, {.forward_s = 1, .backward_s = 2});
  cost.links.resize(stages - 1);
  const auto lane = job::share_of_lane(static_cast<std::uint32_t>(job.batch.microbatches()),
                                       static_cast<std::uint32_t>(job.lanes.count), LaneIndex(0));
  const auto run = pipeline::simulate(cost, job.pipeline.schedule, lane.count, in_flight);
  return std::get<pipeline::Prediction>(run).bubble_fraction;
}

std::vector<std::string> outline(const RunOutline& run) {
  std::vector<std::string> lines{stage_text(run)};
  if (!run.place.is_driver() || run.begin.value() >= run.job.train.steps) return lines;
  lines.push_back(work_text(run));
  if (run.place.stages() > 1) lines.push_back(pipeline_text(run));
  return lines;
}

}  // namespace ptrain::stage
