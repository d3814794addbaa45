#include "tools/stage/engine/driver.h"

#include <algorithm>
#include <bit>
#include <utility>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "tools/stage/engine/step_agreement.h"

namespace ptrain::stage {
namespace {

// Bits, because a NaN is not equal to itself.
bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
  return std::ranges::equal(a, b, {}, std::bit_cast<std::uint64_t, double>,
                            std::bit_cast<std::uint64_t, double>);
}

bool alike(const wire::StepReport& a, const wire::StepReport& b) {
  return a.state_digest == b.state_digest && same_bits(a.gradient_squares, b.gradient_squares);
}

}  // namespace

Driver::Driver(const job::Job& job, job::Layout layout)
    : job_(job), layout_(std::move(layout)), in_flight_(job) {}

void Driver::report(WorkerIndex worker, wire::StepReport report) {
  if (!report.numerics_class.empty()) classes_[report.numerics_class].push_back(worker);
  reports_[worker] = std::move(report);
}

std::optional<WorkerIndex> Driver::missing() const {
  for (std::uint32_t i = 0; i < layout_.workers(); ++i) {
    if (!reports_.contains(WorkerIndex(i))) return WorkerIndex(i);
  }
  return std::nullopt;
}

wire::StepVerdict Driver::decide(Step step) {
  std::vector<wire::StepReport> leaders;
  times_.clear();
  bool stop = false;
  for (std::uint32_t stage = 0; stage < layout_.grid().stages; ++stage) {
    check_alike(step, StageIndex(stage));
    const auto holders = layout_.holders_of(StageIndex(stage));
    wire::StageTime time = reports_.at(holders.front()).time;
    for (const WorkerIndex holder : holders) {
      const wire::StepReport& report = reports_.at(holder);
      time.most_in_flight = std::min(time.most_in_flight, report.time.most_in_flight);
      stop = stop || report.stop_requested;
    }
    times_.push_back(time);
    leaders.push_back(reports_.at(holders.front()));
  }
  wire::StepVerdict verdict =
      agree(step, leaders, lane_losses(), job_.optim.clip_norm, job_.tokens_per_step());
  verdict.stop = stop;
  reports_.clear();
  in_flight_.measured(times_);
  verdict.in_flight = in_flight_.now();
  return verdict;
}

// They hold the same parameters and have the same sum of gradients, or one of them has computed
// wrong, and then nobody knows what the step's end would be.
void Driver::check_alike(Step step, StageIndex stage) const {
  const auto holders = layout_.holders_of(stage);
  const auto like_it = [&](WorkerIndex worker) {
    return std::ranges::count_if(
        holders, [&](WorkerIndex other) { return alike(reports_.at(worker), reports_.at(other)); });
  };
  const WorkerIndex usual = *std::ranges::max_element(holders, {}, like_it);
  for (const WorkerIndex holder : holders) {
    if (alike(reports_.at(holder), reports_.at(usual))) continue;
    const bool state = reports_.at(holder).state_digest != reports_.at(usual).state_digest;
    throw Error(
        ErrorKind::corrupt,
        fmt::format("{} and {} hold different {} in step {}: one of them has computed wrong{}",
                    layout_.called(holder), layout_.called(usual),
                    state ? "weights" : "sums of gradients", step.value(),
                    2 * like_it(usual) > static_cast<std::int64_t>(holders.size())
                        ? fmt::format(", most likely {}", layout_.called(holder))
                        : std::string()),
        "go on from the newest checkpoint without that host, or with programs and processors of "
        "one kind: different ones may round differently");
  }
}

std::vector<double> Driver::lane_losses() const {
  std::vector<double> losses(layout_.grid().lanes);
  for (const WorkerIndex holder : layout_.holders_of(StageIndex(layout_.grid().stages - 1))) {
    const auto& cells = layout_.cells_of(holder);
    const auto& loss_sums = reports_.at(holder).loss_sums;
    if (loss_sums.size() != cells.size()) {
      throw Error(ErrorKind::corrupt,
                  fmt::format("step report of {}: losses of {} lanes, and it holds {}",
                              layout_.called(holder), loss_sums.size(), cells.size()));
    }
    for (std::size_t i = 0; i < cells.size(); ++i) losses[cells[i].lane.value()] = loss_sums[i];
  }
  return losses;
}

}  // namespace ptrain::stage
