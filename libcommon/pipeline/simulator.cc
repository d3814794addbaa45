#include "libcommon/pipeline/simulator.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <queue>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/job/job_keys.h"

namespace ptrain::pipeline {
namespace {

// One direction of a link.
struct Lane {
  std::size_t from = 0;
  std::size_t to = 0;
  double latency_s = 0;
  double out_s = 0;   // of one message on the sender's way out,
  double link_s = 0;  // on the link,
  double in_s = 0;    // and on the receiver's way in
  double free_at_s = 0;
  std::vector<bool> arrived;  // by microbatch
};

struct StageState {
  std::size_t next = 0;  // index into its schedule
  bool works = false;
  double now_s = 0;
  double busy_s = 0;
  double out_free_at_s = 0;
  double in_free_at_s = 0;
  std::vector<bool> forward_done;  // by microbatch
};

struct Event {
  enum class Kind { work_done, reaches_host, has_arrived };

  double at_s = 0;
  std::uint64_t number = 0;  // those of one time happen in the order in which they were foreseen
  Kind kind = Kind::work_done;
  std::size_t where = 0;  // a stage; of messages, a lane
  std::uint32_t microbatch = 0;
  double last_byte_at_s = 0;  // of a message that reaches its receiver's way in

  bool operator>(const Event& other) const {
    return at_s != other.at_s ? at_s > other.at_s : number > other.number;
  }
};

double service_s(std::uint64_t bytes, double bytes_per_s) {
  return static_cast<double>(bytes) / bytes_per_s;
}

// Things happen in the order of their times: whose message comes first to a way that several share
// is nobody's to know before.
class Simulation {
 public:
  Simulation(const PipelineCost& cost, const std::vector<std::vector<Action>>& schedules)
      : cost_(cost), schedules_(schedules), stages_(schedules.size()) {
    check_sizes();
    const std::size_t microbatches = schedules.front().size() / 2;
    for (StageState& stage : stages_) stage.forward_done.resize(microbatches);
    for (std::size_t i = 0; i < cost.links.size(); ++i) {
      const LinkCost& link = cost.links[i];
      lanes_.push_back(lane(i, i + 1, link, link.forward_bytes, link.bandwidth_bytes_per_s));
      lanes_.push_back(lane(i + 1, i, link, link.backward_bytes, link.gradient_bytes_per_s()));
      for (Lane* each : {&lanes_[2 * i], &lanes_[2 * i + 1]}) each->arrived.resize(microbatches);
    }
  }

  std::variant<Prediction, Deadlock> run() {
    for (std::size_t stage = 0; stage < stages_.size(); ++stage) begin_next_action(stage, 0);
    while (!events_.empty()) {
      const Event event = events_.top();
      events_.pop();
      happen(event);
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

  Lane lane(std::size_t from, std::size_t to, const LinkCost& link, std::uint64_t bytes,
            double bytes_per_s) const {
    const double link_s = service_s(bytes, bytes_per_s);
    return {.from = from,
            .to = to,
            .latency_s = link.latency_s,
            .out_s = cost_.shared_uplinks ? link_s
                                          : service_s(bytes, cost_.stages[from].out_bytes_per_s),
            .link_s = link_s,
            .in_s = service_s(bytes, cost_.stages[to].in_bytes_per_s),
            .free_at_s = 0,
            .arrived = {}};
  }

  // From stage s to s + 1, and back.
  static std::size_t activations(std::size_t stage) { return 2 * stage; }
  static std::size_t gradients(std::size_t stage) { return 2 * stage + 1; }

  bool is_ready(std::size_t stage, const Action& action) const {
    const std::uint32_t microbatch = action.microbatch.value();
    if (action.op == Op::forward) {
      return stage == 0 || lanes_[activations(stage - 1)].arrived[microbatch];
    }
    if (!stages_[stage].forward_done[microbatch]) return false;
    return stage + 1 == stages_.size() || lanes_[gradients(stage)].arrived[microbatch];
  }

  void begin_next_action(std::size_t index, double now_s) {
    StageState& stage = stages_[index];
    if (stage.works || stage.next == schedules_[index].size()) return;
    const Action action = schedules_[index][stage.next];
    if (!is_ready(index, action)) return;
    const double duration_s =
        action.op == Op::forward ? cost_.stages[index].forward_s : cost_.stages[index].backward_s;
    stage.works = true;
    stage.now_s = now_s + duration_s;
    stage.busy_s += duration_s;
    foresee({.at_s = stage.now_s, .kind = Event::Kind::work_done, .where = index});
  }

  void happen(const Event& event) {
    switch (event.kind) {
      case Event::Kind::work_done:
        return end_action(event.where, event.at_s);
      case Event::Kind::reaches_host: {
        const Lane& lane = lanes_[event.where];
        double& free_at_s = stages_[lane.to].in_free_at_s;
        free_at_s = std::max(free_at_s, event.at_s) + lane.in_s;
        return foresee({.at_s = std::max(free_at_s, event.last_byte_at_s),
                        .kind = Event::Kind::has_arrived,
                        .where = event.where,
                        .microbatch = event.microbatch});
      }
      case Event::Kind::has_arrived:
        lanes_[event.where].arrived[event.microbatch] = true;
        return begin_next_action(lanes_[event.where].to, event.at_s);
    }
  }

  void end_action(std::size_t index, double now_s) {
    StageState& stage = stages_[index];
    const Action action = schedules_[index][stage.next++];
    stage.works = false;
    if (action.op == Op::forward) {
      stage.forward_done[action.microbatch.value()] = true;
      if (index + 1 < stages_.size()) send(activations(index), action.microbatch, now_s);
    } else if (index > 0) {
      send(gradients(index - 1), action.microbatch, now_s);
    }
    begin_next_action(index, now_s);
  }

  void send(std::size_t index, MicrobatchIndex microbatch, double now_s) {
    Lane& lane = lanes_[index];
    double& out_free_at_s = stages_[lane.from].out_free_at_s;
    const double begun_s = std::max(out_free_at_s, now_s);
    out_free_at_s = begun_s + lane.out_s;
    const double on_link_s = std::max(begun_s, lane.free_at_s);
    lane.free_at_s = on_link_s + lane.link_s;
    const double last_byte_s = std::max(lane.free_at_s, out_free_at_s);
    const bool way_in_is_shared = lane.in_s > 0;
    foresee({.at_s = (way_in_is_shared ? on_link_s : last_byte_s) + lane.latency_s,
             .kind = way_in_is_shared ? Event::Kind::reaches_host : Event::Kind::has_arrived,
             .where = index,
             .microbatch = microbatch.value(),
             .last_byte_at_s = last_byte_s + lane.latency_s});
  }

  void foresee(Event event) {
    event.number = foreseen_++;
    events_.push(event);
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
  std::vector<Lane> lanes_;  // activations() and gradients() of each link
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  std::uint64_t foreseen_ = 0;
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
  for (std::size_t i = 0; i < cost.links.size(); ++i) {
    const LinkCost& link = cost.links[i];
    const StageCost& before = cost.stages[i];
    const StageCost& behind = cost.stages[i + 1];
    const double forward_s = service_s(
        link.forward_bytes,
        std::min({link.bandwidth_bytes_per_s, before.out_bytes_per_s, behind.in_bytes_per_s}));
    const double backward_s = service_s(
        link.backward_bytes,
        std::min({link.gradient_bytes_per_s(), behind.out_bytes_per_s, before.in_bytes_per_s}));
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
