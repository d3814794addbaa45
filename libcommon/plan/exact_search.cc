#include "libcommon/plan/exact_search.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <utility>

namespace ptrain::plan {
namespace {

class Enumeration {
 public:
  Enumeration(const Costs& costs, std::size_t micro, FoundBySize& best)
      : costs_(costs), problem_(costs.problem()), best_(best), micro_(micro) {
    for (std::size_t host = 0; host < problem_.hosts.size(); ++host) {
      double least_s = std::numeric_limits<double>::infinity();
      for (std::size_t unit = 0; unit < problem_.units(); ++unit) {
        least_s = std::min(least_s, costs.work_s(micro, host, unit, unit + 1));
      }
      unit_s_.push_back(least_s);
    }
    used_.resize(problem_.hosts.size());
  }

  void run() {
    for (stages_ = 1; stages_ <= best_.size(); ++stages_) {
      choice_ = {.micro = micro_};
      extend(0, 0);
    }
  }

 private:
  // Which host is the next stage, and where it ends. `before_s`: what a microbatch spends, there
  // and back, before it.
  void extend(std::size_t unit, double before_s) {
    const std::size_t stage = choice_.hosts.size();
    if (stage == stages_) return judge();
    for (std::uint32_t host = 0; host < problem_.hosts.size(); ++host) {
      if (used_[host]) continue;
      used_[host] = true;
      choice_.hosts.push_back(host);
      extend_with(host, unit, before_s + hop_s(stage));
      choice_.hosts.pop_back();
      used_[host] = false;
    }
  }

  void extend_with(std::uint32_t host, std::size_t unit, double before_s) {
    const std::size_t stage = choice_.hosts.size() - 1;
    const bool last = stage + 1 == stages_;
    const std::size_t most = problem_.units() - (stages_ - 1 - stage);
    for (std::size_t end = last ? most : unit + 1; end <= most; ++end) {
      const double work_s = costs_.work_s(micro_, host, unit, end);
      const std::uint32_t depth = costs_.least_depth(micro_, stages_, stage);
      const bool room =
          costs_.memory_bytes(micro_, host, unit, end, depth) <= problem_.hosts[host].usable_bytes;
      // More units are no less work and no less memory.
      if (!room || before_s + microbatches() * work_s >= limit_s()) break;
      const double behind_s = before_s + work_s;
      if (behind_s + microbatches() * least_of_the_rest_s(end) >= limit_s()) continue;
      choice_.ends.push_back(static_cast<std::uint32_t>(end));
      extend(end, behind_s);
      choice_.ends.pop_back();
    }
  }

  // The slowest of the stages that are to come cannot be faster than if they shared the units as
  // if these could be divided.
  double least_of_the_rest_s(std::size_t unit) const {
    std::size_t stages = stages_ - choice_.hosts.size();
    if (stages == 0) return 0;
    std::vector<double> speeds;
    for (std::size_t host = 0; host < used_.size(); ++host) {
      if (!used_[host] && unit_s_[host] > 0) speeds.push_back(1 / unit_s_[host]);
      if (!used_[host] && unit_s_[host] <= 0) return 0;
    }
    std::sort(speeds.begin(), speeds.end(), std::greater<>());
    double together = 0;
    for (std::size_t i = 0; i < std::min(stages, speeds.size()); ++i) together += speeds[i];
    return static_cast<double>(problem_.units() - unit) / together;
  }

  // A round trip between this stage and the one before it, without any message.
  double hop_s(std::size_t stage) const {
    if (stage == 0) return 0;
    return problem_.way(choice_.hosts[stage - 1], choice_.hosts[stage]).round_trip_s;
  }

  void judge() {
    if (!is_possible(costs_, choice_) || least_step_s(costs_, choice_) >= limit_s()) return;
    std::optional<Worth> worth = worth_of(costs_, choice_);
    if (worth && worth->step_s < limit_s()) best_[stages_ - 1] = Found{choice_, std::move(*worth)};
  }

  double limit_s() const {
    const std::optional<Found>& found = best_[stages_ - 1];
    return found ? found->worth.step_s : std::numeric_limits<double>::infinity();
  }

  double microbatches() const { return problem_.micros[micro_].microbatches; }

  const Costs& costs_;
  const Problem& problem_;
  FoundBySize& best_;
  std::size_t micro_;
  std::size_t stages_ = 0;
  Choice choice_;
  std::vector<bool> used_;
  std::vector<double> unit_s_;  // of each host: its cheapest unit
};

}  // namespace

void search_all(const Costs& costs, std::size_t micro, FoundBySize& best) {
  Enumeration(costs, micro, best).run();
}

}  // namespace ptrain::plan
