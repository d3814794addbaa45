#include "libcommon/pipeline/simulator.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/job/job_keys.h"

namespace ptrain::pipeline {
namespace {

// One direction of a link: when it is free again, and when each message arrives.
struct Lane {
  double latency_s = 0;
  double transfer_s = 0;  // one message
  double free_at_s = 0;
  std::vector<std::optional<double>> arrival_s;  // by microbatch; empty: not sent yet

  // `line_free_at_s` is when the line that carries it is free: this lane's, or its sender's.
  void send(MicrobatchIndex microbatch, double now_s, double& line_free_at_s) {
    line_free_at_s = std::max(line_free_at_s, now_s) + transfer_s;
    arrival_s[microbatch.value()] = line_free_at_s + latency_s;
  }
};

struct StageState {
  std::size_t next = 0;  // index into its schedule
  double now_s = 0;
  double busy_s = 0;
  double uplink_free_at_s = 0;
  std::vector<bool> forward_done;  // by microbatch
};

class Simulation {
 public:
  Simulation(const PipelineCost& cost, const std::vector<std::vector<Action>>& schedules)
      : cost_(cost), schedules_(schedules), stages_(schedules.size()) {
    check_sizes();
    const std::size_t microbatches = schedules.front().size() / 2;
    for (StageState& stage : stages_) stage.forward_done.resize(microbatches);
    for (const LinkCost& link : cost.links) {
      const auto lane = [&](std::uint64_t bytes) {
        return Lane{.latency_s = link.latency_s,
                    .transfer_s = static_cast<double>(bytes) / link.bandwidth_bytes_per_s,
                    .arrival_s = std::vector<std::optional<double>>(microbatches)};
      };
      activations_.push_back(lane(link.forward_bytes));
      gradients_.push_back(lane(link.backward_bytes));
    }
  }

  // Every stage goes as far as it can, until none can: the order does not matter, because
  // each lane has one sender, whose messages leave in the order of its schedule.
  std::variant<Prediction, Deadlock> run() {
    bool progress = true;
    while (progress) {
      progress = false;
      for (std::size_t stage = 0; stage < stages_.size(); ++stage) {
        while (try_next_action(stage)) progress = true;
      }
    }
    for (std::size_t stage = 0; stage < stages_.size(); ++stage) {
      if (stages_[stage].next < schedules_[stage].size()) {
        return Deadlock{StageIndex(static_cast<std::uint32_t>(stage)),
                        schedules_[stage][stages_[stage].next]};
      }
    }
    return prediction();
  }

 private:
  void check_sizes() const {
    if (schedules_.empty() || cost_.stages.size() != schedules_.size() ||
        cost_.links.size() + 1 != schedules_.size()) {
      throw Error(ErrorKind::internal,
                  fmt::format("simulate {} schedules on {} stages and {} links", schedules_.size(),
                              cost_.stages.size(), cost_.links.size()));
    }
    const std::size_t microbatches = schedules_.front().size() / 2;
    for (const std::vector<Action>& actions : schedules_) {
      if (actions.size() != 2 * microbatches) {
        throw Error(ErrorKind::internal, "simulate schedules of different lengths");
      }
      for (const Action& action : actions) {
        if (action.microbatch.value() >= microbatches) {
          throw Error(ErrorKind::internal, fmt::format("simulate microbatch {} of {}",
                                                       action.microbatch.value(), microbatches));
        }
      }
    }
  }

  // When what the action needs is there; none if nobody has produced it yet.
  std::optional<double> ready_at_s(std::size_t stage, const Action& action) const {
    const std::uint32_t microbatch = action.microbatch.value();
    if (action.op == Op::forward) {
      return stage == 0 ? 0.0 : activations_[stage - 1].arrival_s[microbatch];
    }
    if (!stages_[stage].forward_done[microbatch]) return std::nullopt;
    return stage + 1 == stages_.size() ? 0.0 : gradients_[stage].arrival_s[microbatch];
  }

  bool try_next_action(std::size_t index) {
    StageState& stage = stages_[index];
    if (stage.next == schedules_[index].size()) return false;
    const Action action = schedules_[index][stage.next];
    const std::optional<double> ready_s = ready_at_s(index, action);
    if (!ready_s) return false;

    const bool forward = action.op == Op::forward;
    const double duration_s =
        forward ? cost_.stages[index].forward_s : cost_.stages[index].backward_s;
    stage.now_s = std::max(stage.now_s, *ready_s) + duration_s;
    stage.busy_s += duration_s;
    ++stage.next;
    if (forward) {
      stage.forward_done[action.microbatch.value()] = true;
      if (index + 1 < stages_.size()) send(activations_[index], action, stage);
    } else if (index > 0) {
      send(gradients_[index - 1], action, stage);
    }
    return true;
  }

  void send(Lane& lane, const Action& action, StageState& sender) {
    lane.send(action.microbatch, sender.now_s,
              cost_.shared_uplinks ? sender.uplink_free_at_s : lane.free_at_s);
  }

  Prediction prediction() const {
    Prediction result;
    double busy_s = 0;
    for (std::size_t stage = 0; stage < stages_.size(); ++stage) {
      result.makespan_s = std::max(result.makespan_s, stages_[stage].now_s);
      result.stages.push_back(
          {.busy_s = stages_[stage].busy_s, .peak_in_flight = peak_in_flight(schedules_[stage])});
      busy_s += stages_[stage].busy_s;
    }
    const double available_s = result.makespan_s * static_cast<double>(stages_.size());
    if (available_s > 0) result.bubble_fraction = 1.0 - busy_s / available_s;
    return result;
  }

  const PipelineCost& cost_;
  const std::vector<std::vector<Action>>& schedules_;
  std::vector<StageState> stages_;
  std::vector<Lane> activations_;  // [s]: from stage s to s + 1
  std::vector<Lane> gradients_;    // [s]: from stage s + 1 to s
};

}  // namespace

std::variant<Prediction, Deadlock> simulate(const PipelineCost& cost,
                                            const std::vector<std::vector<Action>>& schedules) {
  return Simulation(cost, schedules).run();
}

std::variant<Prediction, Deadlock> simulate(const PipelineCost& cost, job::PipelineSchedule kind,
                                            std::uint32_t microbatches, std::int64_t in_flight) {
  const auto stages = static_cast<std::uint32_t>(cost.stages.size());
  std::vector<std::vector<Action>> schedules;
  for (std::uint32_t stage = 0; stage < stages; ++stage) {
    schedules.push_back(schedule(kind, stages, StageIndex(stage), microbatches, in_flight));
  }
  return simulate(cost, schedules);
}

std::int64_t in_flight_for_round_trip(const PipelineCost& cost) {
  double period_s = 0;  // of the slowest stage or lane: no depth makes microbatches pass faster
  for (const StageCost& stage : cost.stages) {
    period_s = std::max(period_s, stage.forward_s + stage.backward_s);
  }
  double round_trip_s = 0;  // of the slowest link
  for (const LinkCost& link : cost.links) {
    const double forward_s = static_cast<double>(link.forward_bytes) / link.bandwidth_bytes_per_s;
    const double backward_s = static_cast<double>(link.backward_bytes) / link.bandwidth_bytes_per_s;
    period_s = std::max({period_s, forward_s, backward_s});
    round_trip_s = std::max(round_trip_s, forward_s + backward_s + 2 * link.latency_s);
  }
  const auto links = static_cast<double>(cost.links.size());
  // A quotient of equal times may come out a hair above a whole number: that is not a microbatch.
  constexpr double kRounding = 1e-9;
  const double under_way = period_s > 0 ? std::ceil(round_trip_s / period_s - kRounding) : 0;
  return static_cast<std::int64_t>(
      std::min(1 + links * (1 + under_way), static_cast<double>(job::kMaxInFlight)));
}

}  // namespace ptrain::pipeline
