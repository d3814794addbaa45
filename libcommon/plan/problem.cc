#include "libcommon/plan/problem.h"

#include <algorithm>
#include <variant>

#include "libcommon/base/error.h"
#include "libcommon/pipeline/automatic_depth.h"
#include "libcommon/pipeline/schedule.h"

namespace ptrain::plan {
namespace {

// What a message and its answer take over the link between two stages, alone on it.
struct Hop {
  double ahead_s = 0;
  double back_s = 0;
};

double pace_s(double bytes, double out, double way, double in) {
  return bytes / std::min({out, way, in});
}

Hop hop_of(const Problem& problem, std::size_t micro, std::size_t from, std::size_t to) {
  const MicroCost& cost = problem.micros[micro];
  const HostCost& a = problem.hosts[from];
  const HostCost& b = problem.hosts[to];
  const WayCost& ahead = problem.way(from, to);
  const WayCost& back = problem.way(to, from);
  return {.ahead_s = ahead.round_trip_s / 2 + pace_s(static_cast<double>(cost.forward_bytes),
                                                     a.out_bytes_per_s, ahead.rate_bytes_per_s,
                                                     b.in_bytes_per_s),
          .back_s = ahead.round_trip_s / 2 + pace_s(static_cast<double>(cost.backward_bytes),
                                                    b.out_bytes_per_s, back.rate_bytes_per_s,
                                                    a.in_bytes_per_s)};
}

// The longest that a microbatch keeps one of the ways of a stage's host, or the link behind it.
double link_period_s(const Problem& problem, const Choice& choice, std::size_t stage) {
  const MicroCost& cost = problem.micros[choice.micro];
  const auto forward = static_cast<double>(cost.forward_bytes);
  const auto backward = static_cast<double>(cost.backward_bytes);
  const std::size_t host = choice.hosts[stage];
  const bool first = stage == 0;
  const bool last = stage + 1 == choice.hosts.size();
  const double sent = (last ? 0 : forward) + (first ? 0 : backward);
  const double got = (first ? 0 : forward) + (last ? 0 : backward);
  double period_s = std::max(sent / problem.hosts[host].out_bytes_per_s,
                             got / problem.hosts[host].in_bytes_per_s);
  if (!last) {
    const std::size_t next = choice.hosts[stage + 1];
    period_s = std::max({period_s, forward / problem.way(host, next).rate_bytes_per_s,
                         backward / problem.way(next, host).rate_bytes_per_s});
  }
  return period_s;
}

std::size_t begin_of(const Choice& choice, std::size_t stage) {
  return stage == 0 ? 0 : choice.ends[stage - 1];
}

StageWorth stage_worth(const Costs& costs, const Choice& choice, std::size_t stage) {
  const std::size_t host = choice.hosts[stage];
  const bool first = stage == 0;
  const bool last = stage + 1 == choice.hosts.size();
  const Costs::Span span =
      costs.span(choice.micro, host, begin_of(choice, stage), choice.ends[stage]);
  return {.forward_s = span.forward_s + costs.codec_forward_s(choice.micro, host, first, last),
          .backward_s = span.backward_s + costs.codec_backward_s(choice.micro, host, first, last),
          .update_s = span.update_s};
}

double stage_memory(const Costs& costs, const Choice& choice, std::size_t stage,
                    std::uint32_t depth) {
  return costs.memory_bytes(choice.micro, choice.hosts[stage], begin_of(choice, stage),
                            choice.ends[stage], depth);
}

// What "auto" will choose once it has measured this pipeline.
std::int64_t automatic_depth(const Costs& costs, const Choice& choice,
                             const std::vector<StageWorth>& worths) {
  const auto stages = static_cast<std::uint32_t>(choice.hosts.size());
  if (stages < 2) return 0;
  pipeline::DepthCost cost;
  for (const StageWorth& stage : worths) {
    cost.period_s = std::max(cost.period_s, stage.forward_s + stage.backward_s);
  }
  for (std::size_t stage = 0; stage + 1 < stages; ++stage) {
    cost.period_s = std::max(cost.period_s, link_period_s(costs.problem(), choice, stage));
    const Hop hop =
        hop_of(costs.problem(), choice.micro, choice.hosts[stage], choice.hosts[stage + 1]);
    cost.round_trips_s.push_back(hop.ahead_s + hop.back_s);
  }
  const auto fits = [&](StageIndex stage, std::uint32_t depth) {
    const double usable = costs.problem().hosts[choice.hosts[stage.value()]].usable_bytes;
    const double least = stage_memory(costs, choice, stage.value(),
                                      costs.least_depth(choice.micro, stages, stage.value()));
    return stage_memory(costs, choice, stage.value(), depth) <=
           least + (usable - least) / pipeline::kMemoryPartsForDepth;
  };
  const std::uint32_t depth =
      pipeline::automatic_depth(cost, costs.problem().micros[choice.micro].microbatches, fits);
  return depth > stages ? depth : 0;
}

}  // namespace

Costs::Costs(const Problem& problem) : problem_(problem) {
  const bool sound = problem.borders.size() >= 2 && problem.borders.front() == 0 &&
                     problem.borders.back() == problem.blocks.size() && !problem.micros.empty() &&
                     problem.ways.size() == problem.hosts.size() * problem.hosts.size();
  if (!sound) throw Error(ErrorKind::internal, "a plan's problem whose parts do not fit together");
  PerKind<std::uint32_t> count{};
  std::size_t block = 0;
  for (const std::size_t border : problem.borders) {
    for (; block < border; ++block) ++count[index_of(problem.blocks[block])];
    before_.push_back(count);
  }
}

Costs::Span Costs::span(std::size_t micro, std::size_t host, std::size_t begin,
                        std::size_t end) const {
  Span span;
  const PerKind<KindCost>& kinds = problem_.hosts[host].kinds[micro];
  for (std::size_t kind = 0; kind < kBlockKinds; ++kind) {
    const double count = before_[end][kind] - before_[begin][kind];
    span.forward_s += count * kinds[kind].forward_s;
    span.backward_s += count * kinds[kind].backward_s;
    span.update_s += count * kinds[kind].update_s;
    span.state_bytes += count * problem_.state_bytes[kind];
    span.kept_bytes += count * kinds[kind].kept_bytes;
    span.deferred_bytes += count * kinds[kind].deferred_bytes;
  }
  span.forward_s += borders_inside(begin, end) * codec_forward_s(micro, host, false, false);
  span.backward_s += borders_inside(begin, end) * codec_backward_s(micro, host, false, false);
  return span;
}

double Costs::borders_inside(std::size_t begin, std::size_t end) const {
  return problem_.codecs_act_inside && end > begin ? static_cast<double>(end - begin - 1) : 0;
}

double Costs::work_s(std::size_t micro, std::size_t host, std::size_t begin,
                     std::size_t end) const {
  double work_s = borders_inside(begin, end) * (codec_forward_s(micro, host, false, false) +
                                                codec_backward_s(micro, host, false, false));
  const PerKind<KindCost>& kinds = problem_.hosts[host].kinds[micro];
  for (std::size_t kind = 0; kind < kBlockKinds; ++kind) {
    const double count = before_[end][kind] - before_[begin][kind];
    work_s += count * (kinds[kind].forward_s + kinds[kind].backward_s);
  }
  return work_s;
}

double Costs::memory_bytes(std::size_t micro, std::size_t host, std::size_t begin, std::size_t end,
                           std::uint32_t depth) const {
  const Span part = span(micro, host, begin, end);
  const MicroCost& cost = problem_.micros[micro];
  const std::size_t neighbours = (begin == 0 ? 0U : 1U) + (end == problem_.units() ? 0U : 1U);
  return part.state_bytes + depth * part.kept_bytes + part.deferred_bytes +
         static_cast<double>(neighbours) * kMessagesPerNeighbour *
             static_cast<double>(std::max(cost.forward_bytes, cost.backward_bytes));
}

double Costs::codec_forward_s(std::size_t micro, std::size_t host, bool first, bool last) const {
  const HostCost& cost = problem_.hosts[host];
  return static_cast<double>(problem_.micros[micro].forward_bytes) *
         ((first ? 0 : cost.decode_forward_s) + (last ? 0 : cost.encode_forward_s));
}

double Costs::codec_backward_s(std::size_t micro, std::size_t host, bool first, bool last) const {
  const HostCost& cost = problem_.hosts[host];
  return static_cast<double>(problem_.micros[micro].backward_bytes) *
         ((last ? 0 : cost.decode_backward_s) + (first ? 0 : cost.encode_backward_s));
}

std::uint32_t Costs::least_depth(std::size_t micro, std::size_t stages, std::size_t stage) const {
  const std::uint32_t microbatches = problem_.micros[micro].microbatches;
  if (problem_.schedule == job::PipelineSchedule::gpipe) return microbatches;
  return pipeline::one_f_one_b_depth(static_cast<std::uint32_t>(stages),
                                     StageIndex(static_cast<std::uint32_t>(stage)), microbatches,
                                     std::max<std::int64_t>(0, problem_.in_flight));
}

pipeline::PipelineCost pipeline_cost(const Costs& costs, const Choice& choice) {
  const Problem& problem = costs.problem();
  pipeline::PipelineCost cost;
  for (std::size_t stage = 0; stage < choice.hosts.size(); ++stage) {
    const HostCost& host = problem.hosts[choice.hosts[stage]];
    const StageWorth worth = stage_worth(costs, choice, stage);
    cost.stages.push_back({.forward_s = worth.forward_s,
                           .backward_s = worth.backward_s,
                           .out_bytes_per_s = host.out_bytes_per_s,
                           .in_bytes_per_s = host.in_bytes_per_s});
    if (stage == 0) continue;
    const WayCost& ahead = problem.way(choice.hosts[stage - 1], choice.hosts[stage]);
    const WayCost& back = problem.way(choice.hosts[stage], choice.hosts[stage - 1]);
    cost.links.push_back({.latency_s = ahead.round_trip_s / 2,
                          .bandwidth_bytes_per_s = ahead.rate_bytes_per_s,
                          .forward_bytes = problem.micros[choice.micro].forward_bytes,
                          .backward_bytes = problem.micros[choice.micro].backward_bytes,
                          .backward_bandwidth_bytes_per_s = back.rate_bytes_per_s});
  }
  return cost;
}

bool is_possible(const Costs& costs, const Choice& choice) {
  const Problem& problem = costs.problem();
  for (std::size_t stage = 0; stage < choice.hosts.size(); ++stage) {
    const std::size_t host = choice.hosts[stage];
    // Each stage exchanges with the one before it and with the driver, which is the first.
    if (stage > 0) {
      for (const std::size_t other : {choice.hosts[stage - 1], choice.hosts[0]}) {
        if (problem.way(other, host).rate_bytes_per_s <= 0) return false;
        if (problem.way(host, other).rate_bytes_per_s <= 0) return false;
      }
    }
    const std::uint32_t depth = costs.least_depth(choice.micro, choice.hosts.size(), stage);
    if (stage_memory(costs, choice, stage, depth) > problem.hosts[host].usable_bytes) return false;
  }
  return true;
}

// What is not in the pipeline's makespan: the same in each of the three below.
namespace {

void add_what_follows(const Costs& costs, const Choice& choice, Worth& worth) {
  const Problem& problem = costs.problem();
  for (std::size_t stage = 0; stage < choice.hosts.size(); ++stage) {
    worth.update_s = std::max(worth.update_s, worth.stages[stage].update_s);
    if (stage == 0) continue;
    const double round_trip_s = problem.way(choice.hosts[stage], choice.hosts[0]).round_trip_s;
    worth.verdict_s = std::max(worth.verdict_s, round_trip_s);
  }
  if (choice.hosts.size() > 1 && problem.tied_bytes > 0) {
    const std::size_t first = choice.hosts.front();
    const std::size_t last = choice.hosts.back();
    const auto bytes = static_cast<double>(problem.tied_bytes);
    const auto one_way_s = [&](std::size_t from, std::size_t to) {
      const WayCost& way = problem.way(from, to);
      return way.round_trip_s / 2 + pace_s(bytes, problem.hosts[from].out_bytes_per_s,
                                           way.rate_bytes_per_s, problem.hosts[to].in_bytes_per_s);
    };
    worth.tied_s = std::max(one_way_s(first, last), one_way_s(last, first));
  }
  worth.step_s = worth.makespan_s + worth.verdict_s + worth.update_s + worth.tied_s;
}

// The stages, and a makespan of one microbatch's way through all of them and of the others behind
// it at the longest of what they wait for.
enum class Guess { about, at_least };

double guessed_step_s(const Costs& costs, const Choice& choice, Guess guess) {
  const Problem& problem = costs.problem();
  const std::size_t stages = choice.hosts.size();
  const double microbatches = problem.micros[choice.micro].microbatches;
  Worth worth;
  worth.stages.reserve(stages);
  double through_s = 0;  // from the first stage's begin to its end, of one microbatch
  for (std::size_t stage = 0; stage < stages; ++stage) {
    worth.stages.push_back(stage_worth(costs, choice, stage));
  }
  std::vector<double> before_s(stages, 0);  // of it, what is spent before and behind this stage
  for (std::size_t stage = 0; stage < stages; ++stage) {
    before_s[stage] = through_s;
    through_s += worth.stages[stage].forward_s + worth.stages[stage].backward_s;
    if (stage + 1 == stages) break;
    const Hop hop = hop_of(problem, choice.micro, choice.hosts[stage], choice.hosts[stage + 1]);
    through_s += hop.ahead_s + hop.back_s;
  }
  for (std::size_t stage = 0; stage < stages; ++stage) {
    const double work_s = worth.stages[stage].forward_s + worth.stages[stage].backward_s;
    if (guess == Guess::at_least) {
      worth.makespan_s =
          std::max({worth.makespan_s, before_s[stage] + microbatches * work_s,
                    microbatches * (stages > 1 ? link_period_s(problem, choice, stage) : 0)});
      continue;
    }
    double period_s = work_s;
    if (stages > 1) period_s = std::max(period_s, link_period_s(problem, choice, stage));
    // A stage that holds no more than so many has each for as long as it is further on.
    if (problem.in_flight != job::kAutoInFlight) {
      const double depth = costs.least_depth(choice.micro, stages, stage);
      period_s = std::max(period_s, (through_s - before_s[stage]) / depth);
    }
    worth.makespan_s = std::max(worth.makespan_s, through_s + (microbatches - 1) * period_s);
  }
  add_what_follows(costs, choice, worth);
  return worth.step_s;
}

}  // namespace

double quick_step_s(const Costs& costs, const Choice& choice) {
  return guessed_step_s(costs, choice, Guess::about);
}

double least_step_s(const Costs& costs, const Choice& choice) {
  return guessed_step_s(costs, choice, Guess::at_least);
}

std::optional<Worth> worth_of(const Costs& costs, const Choice& choice) {
  if (!is_possible(costs, choice)) return std::nullopt;
  const Problem& problem = costs.problem();
  const auto stages = static_cast<std::uint32_t>(choice.hosts.size());
  const std::uint32_t microbatches = problem.micros[choice.micro].microbatches;
  const pipeline::PipelineCost cost = pipeline_cost(costs, choice);
  Worth worth;
  for (std::uint32_t stage = 0; stage < stages; ++stage) {
    worth.stages.push_back(stage_worth(costs, choice, stage));
  }
  const bool alternates = problem.schedule == job::PipelineSchedule::one_f_one_b;
  if (alternates) {
    worth.in_flight = problem.in_flight == job::kAutoInFlight
                          ? automatic_depth(costs, choice, worth.stages)
                          : problem.in_flight;
  }
  const auto run = pipeline::simulate(cost, problem.schedule, microbatches, worth.in_flight);
  const auto& prediction = std::get<pipeline::Prediction>(run);  // no depth deadlocks
  worth.makespan_s = prediction.makespan_s;
  for (std::uint32_t stage = 0; stage < stages; ++stage) {
    worth.stages[stage].depth = static_cast<std::uint32_t>(prediction.stages[stage].peak_in_flight);
    worth.stages[stage].memory_bytes =
        stage_memory(costs, choice, stage, worth.stages[stage].depth);
  }
  add_what_follows(costs, choice, worth);
  return worth;
}

}  // namespace ptrain::plan
