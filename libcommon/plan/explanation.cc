#include "libcommon/plan/explanation.h"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <utility>

#include <fmt/format.h>

#include "libcommon/plan/cutter.h"

namespace ptrain::plan {
namespace {

using Hosts = std::vector<std::uint32_t>;

// Up to so many stages the simulator judges each border.
constexpr std::size_t kFewStages = 12;
// Of those that have no part, how many are tried in the place of one that is lost.
constexpr std::size_t kSubstitutes = 8;
constexpr double kNever = 1e300;

double tokens_per_s(const Costs& costs, const Found& found) {
  return costs.problem().tokens_per_step / found.worth.step_s;
}

// The same problem with these hosts only, numbered from 0, and one microbatch size.
Problem restricted(const Problem& problem, std::size_t micro, const Hosts& hosts) {
  Problem small = problem;
  small.micros = {problem.micros[micro]};
  small.hosts.clear();
  small.ways.clear();
  for (const std::uint32_t host : hosts) {
    small.hosts.push_back(problem.hosts[host]);
    small.hosts.back().kinds = {problem.hosts[host].kinds[micro]};
    for (const std::uint32_t other : hosts) small.ways.push_back(problem.way(host, other));
  }
  return small;
}

Hosts counted(std::size_t count) {
  Hosts hosts;
  for (std::uint32_t i = 0; i < count; ++i) hosts.push_back(i);
  return hosts;
}

// How fast all hosts of a problem are in their order; 0: not at all.
double speed_of(const Problem& problem) {
  const Costs costs(problem);
  const std::optional<Found> found = on_hosts(costs, 0, counted(problem.hosts.size()));
  return found ? tokens_per_s(costs, *found) : 0;
}

void speed_up(HostCost& host) {
  for (PerKind<KindCost>& kinds : host.kinds) {
    for (KindCost& kind : kinds) {
      kind.forward_s /= 2;
      kind.backward_s /= 2;
    }
  }
}

std::vector<std::uint32_t> idle_by_speed(const Costs& costs, const Choice& choice) {
  Hosts idle;
  const Problem& problem = costs.problem();
  for (std::uint32_t host = 0; host < problem.hosts.size(); ++host) {
    if (std::find(choice.hosts.begin(), choice.hosts.end(), host) == choice.hosts.end()) {
      idle.push_back(host);
    }
  }
  std::stable_sort(idle.begin(), idle.end(), [&](std::uint32_t a, std::uint32_t b) {
    return costs.work_s(choice.micro, a, 0, problem.units()) <
           costs.work_s(choice.micro, b, 0, problem.units());
  });
  if (idle.size() > kSubstitutes) idle.resize(kSubstitutes);
  return idle;
}

// The quickest guess of the orders in which `hosts` lack one; empty: none is possible.
Hosts best_substitution(const Costs& costs, const Choice& choice, std::size_t lost,
                        const Hosts& idle) {
  Hosts best;
  double best_s = kNever;
  const auto consider = [&](Hosts hosts) {
    const std::optional<Choice> cut = fastest_cut(costs, choice.micro, hosts);
    if (!cut) return;
    const double step_s = quick_step_s(costs, *cut);
    if (step_s >= best_s) return;
    best_s = step_s;
    best = std::move(hosts);
  };
  for (const std::uint32_t substitute : idle) {
    Hosts hosts = choice.hosts;
    hosts[lost] = substitute;
    consider(std::move(hosts));
  }
  Hosts without = choice.hosts;
  without.erase(without.begin() + static_cast<std::ptrdiff_t>(lost));
  consider(std::move(without));
  return best;
}

}  // namespace

std::optional<Found> on_hosts(const Costs& costs, std::size_t micro, const Hosts& hosts) {
  std::optional<Choice> choice = fastest_cut(costs, micro, hosts);
  if (!choice) return std::nullopt;
  if (hosts.size() <= kFewStages) {
    move_borders(*choice, [&](const Choice& other) {
      const std::optional<Worth> worth = worth_of(costs, other);
      return worth ? worth->step_s : kNever;
    });
  }
  std::optional<Worth> worth = worth_of(costs, *choice);
  if (!worth) return std::nullopt;
  return Found{std::move(*choice), std::move(*worth)};
}

Limit limit_of(const Costs& costs, const Found& found) {
  const Problem& problem = costs.problem();
  const MicroCost& micro = problem.micros[found.choice.micro];
  const double microbatches = micro.microbatches;
  const auto forward = static_cast<double>(micro.forward_bytes);
  const auto backward = static_cast<double>(micro.backward_bytes);
  Limit limit{.what = "the round trips and the filling of the pipeline", .busy = 0};
  const auto consider = [&](double each_s, const std::string& what) {
    const double busy = microbatches * each_s / found.worth.step_s;
    if (busy > limit.busy) limit = {what, busy};
  };
  const std::size_t stages = found.choice.hosts.size();
  for (std::size_t stage = 0; stage < stages; ++stage) {
    const HostCost& host = problem.hosts[found.choice.hosts[stage]];
    const bool first = stage == 0;
    const bool last = stage + 1 == stages;
    consider(found.worth.stages[stage].forward_s + found.worth.stages[stage].backward_s,
             "the computing of " + host.name);
    const double sent = (last ? 0 : forward) + (first ? 0 : backward);
    const double got = (first ? 0 : forward) + (last ? 0 : backward);
    consider(sent / host.out_bytes_per_s, "the way out of " + host.name);
    consider(got / host.in_bytes_per_s, "the way in of " + host.name);
    if (last) break;
    const std::uint32_t next = found.choice.hosts[stage + 1];
    const std::string& behind = problem.hosts[next].name;
    consider(forward / problem.way(found.choice.hosts[stage], next).rate_bytes_per_s,
             fmt::format("the link {} to {}", host.name, behind));
    consider(backward / problem.way(next, found.choice.hosts[stage]).rate_bytes_per_s,
             fmt::format("the link {} to {}", behind, host.name));
  }
  // What is busy for less than half of the step does not set its length.
  constexpr double kSetsThePace = 0.5;
  if (limit.busy < kSetsThePace) {
    limit = {"the round trips and the filling of the pipeline", 1 - limit.busy};
  }
  return limit;
}

nlohmann::ordered_json what_if(const Costs& costs, const Found& found) {
  const Problem own = restricted(costs.problem(), found.choice.micro, found.choice.hosts);
  nlohmann::ordered_json answers = nlohmann::ordered_json::array();
  const auto ask = [&](const std::string& change, const std::function<void(Problem&)>& apply) {
    Problem other = own;
    apply(other);
    if (const double speed = speed_of(other); speed > 0) {
      answers.push_back({{"change", change}, {"tokens_per_s", speed}});
    }
  };
  const std::size_t count = own.hosts.size();
  std::size_t slowest = 0;
  for (std::size_t stage = 0; stage < count; ++stage) {
    const auto work_s = [&](std::size_t at) {
      return found.worth.stages[at].forward_s + found.worth.stages[at].backward_s;
    };
    if (work_s(stage) > work_s(slowest)) slowest = stage;
  }
  ask(fmt::format("{} computes twice as fast", own.hosts[slowest].name),
      [&](Problem& other) { speed_up(other.hosts[slowest]); });
  if (count > 1) {
    std::size_t narrowest = 0;
    for (std::size_t stage = 1; stage < count; ++stage) {
      if (own.hosts[stage].out_bytes_per_s < own.hosts[narrowest].out_bytes_per_s) {
        narrowest = stage;
      }
    }
    ask(fmt::format("{} sends and gets twice as fast", own.hosts[narrowest].name),
        [&](Problem& other) {
          other.hosts[narrowest].out_bytes_per_s *= 2;
          other.hosts[narrowest].in_bytes_per_s *= 2;
          for (std::size_t i = 0; i < count; ++i) {
            other.ways[narrowest * count + i].rate_bytes_per_s *= 2;
            other.ways[i * count + narrowest].rate_bytes_per_s *= 2;
          }
        });
    ask("every link carries twice as much", [](Problem& other) {
      for (HostCost& host : other.hosts) {
        host.out_bytes_per_s *= 2;
        host.in_bytes_per_s *= 2;
      }
      for (WayCost& way : other.ways) way.rate_bytes_per_s *= 2;
    });
    ask("every round trip is half as long", [](Problem& other) {
      for (WayCost& way : other.ways) way.round_trip_s /= 2;
    });
  }
  // Its twin stands behind it, and has the links that it has; between them there is the better one
  // of those that it has to its neighbours.
  if (count < own.units()) {
    Hosts twins = counted(count);
    twins.insert(twins.begin() + static_cast<std::ptrdiff_t>(slowest), twins[slowest]);
    Problem other = restricted(own, 0, twins);
    const std::size_t twin = slowest + 1;
    WayCost between{.round_trip_s = 0.001F,
                    .rate_bytes_per_s = static_cast<float>(own.hosts[slowest].out_bytes_per_s)};
    for (std::size_t i = 0; i < count; ++i) {
      if (i == slowest) continue;
      between = own.way(slowest, i);
      if (i + 1 == slowest) break;
    }
    const std::size_t more = twins.size();
    other.ways[slowest * more + twin] = other.ways[twin * more + slowest] = between;
    if (const double speed = speed_of(other); speed > 0) {
      answers.push_back({{"change", fmt::format("one more host like {}", own.hosts[slowest].name)},
                         {"tokens_per_s", speed}});
    }
  }
  return answers;
}

nlohmann::ordered_json losses(const Costs& costs, const Found& found) {
  const Problem& problem = costs.problem();
  const Hosts idle = idle_by_speed(costs, found.choice);
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (std::size_t stage = 0; stage < found.choice.hosts.size(); ++stage) {
    nlohmann::ordered_json loss{{"host", problem.hosts[found.choice.hosts[stage]].name}};
    const Hosts hosts = best_substitution(costs, found.choice, stage, idle);
    const std::optional<Found> without =
        hosts.empty() ? std::nullopt : on_hosts(costs, found.choice.micro, hosts);
    if (without) {
      loss["tokens_per_s"] = tokens_per_s(costs, *without);
      if (hosts.size() == found.choice.hosts.size()) {
        loss["instead"] = problem.hosts[hosts[stage]].name;
      }
    }
    list.push_back(loss);
  }
  return list;
}

std::string why_unused(const Costs& costs, const Found& found, std::uint32_t host) {
  const Problem& problem = costs.problem();
  const std::size_t micro = found.choice.micro;
  const MicroCost& cost = problem.micros[micro];
  const double pace_s = found.worth.step_s / cost.microbatches;
  const double unit_s =
      costs.work_s(micro, host, 0, problem.units()) / static_cast<double>(problem.units());
  const auto bytes = static_cast<double>(cost.forward_bytes + cost.backward_bytes);
  const double narrowest =
      std::min(problem.hosts[host].out_bytes_per_s, problem.hosts[host].in_bytes_per_s);
  if (unit_s > pace_s) {
    return fmt::format(
        "computes one part of the model in {:.3g} s, where all together take {:.3g} s", unit_s,
        pace_s);
  }
  if (found.choice.hosts.size() > 1 && bytes / narrowest > pace_s) {
    return fmt::format("carries a microbatch in {:.3g} s, where all together take {:.3g} s",
                       bytes / narrowest, pace_s);
  }
  return fmt::format("would bring less than {:.0f} %", 100 * kWorthAHost);
}

}  // namespace ptrain::plan
