#include "libcommon/plan/order_search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "libcommon/plan/cutter.h"
#include "libcommon/plan/order_moves.h"

namespace ptrain::plan {
namespace {

using Hosts = std::vector<std::uint32_t>;

constexpr double kNever = std::numeric_limits<double>::infinity();
constexpr int kPaces = 24;
constexpr std::size_t kStarts = 12;
constexpr std::size_t kKeptOfASize = 3;
// Of the quick guesses, those that are further from the best one are not simulated.
constexpr double kPromising = 1.25;
// Up to so many stages borders are moved for every order, else for those that are kept.
constexpr std::size_t kFewStages = 16;
constexpr std::size_t kVeryFewStages = 8;
// Each order of one host, of two, and so on is guessed, for as long as there are no more than these
// (6 hosts have 1,956 in all).
constexpr std::size_t kFewOrders = 2000;
// What is spent: stages looked at by quick guesses, and actions simulated.
constexpr std::uint64_t kQuickWork = 200'000;
constexpr std::uint64_t kSimulatedWork = 10'000'000;

struct Scored {
  double step_s = kNever;
  Choice choice{};
};

class OrderSearch {
 public:
  OrderSearch(const Costs& costs, std::size_t micro, FoundBySize& best)
      : costs_(costs), problem_(costs.problem()), micro_(micro), best_(best) {
    kept_.resize(best.size());
    for (std::uint32_t host = 0; host < problem_.hosts.size(); ++host) {
      unit_s_.push_back(costs.work_s(micro, host, 0, problem_.units()) /
                        static_cast<double>(problem_.units()));
    }
    by_speed_.resize(unit_s_.size());
    std::iota(by_speed_.begin(), by_speed_.end(), 0U);
    std::stable_sort(by_speed_.begin(), by_speed_.end(),
                     [&](std::uint32_t a, std::uint32_t b) { return unit_s_[a] < unit_s_[b]; });
  }

  void run() {
    if (best_.empty()) return;
    Hosts order;
    offer_all_behind(order, most_of_all_orders());
    if (most_of_all_orders() < best_.size()) {
      for (int i = 0; i < kPaces; ++i) grow_chains(pace_s(i));
    }
    improve_guesses();
    simulate_promising();
  }

 private:
  // From what the fastest host takes for the whole model down to what it takes for a unit.
  double pace_s(int i) const {
    const double most_s = unit_s_[by_speed_[0]] * static_cast<double>(problem_.units());
    const double least_s = std::max(unit_s_[by_speed_[0]], most_s * 1e-6);
    return most_s * std::pow(least_s / most_s, static_cast<double>(i) / (kPaces - 1)) * 1.02;
  }

  // --- all orders ---

  // Up to so many hosts each order is guessed.
  std::size_t most_of_all_orders() const {
    std::size_t all = 0;
    std::size_t of_size = 1;
    for (std::size_t size = 0; size < best_.size(); ++size) {
      of_size *= problem_.hosts.size() - size;
      all += of_size;
      if (all > kFewOrders) return size;
    }
    return best_.size();
  }

  void offer_all_behind(Hosts& order, std::size_t most) {
    if (order.size() == most) return;
    for (std::uint32_t host = 0; host < problem_.hosts.size(); ++host) {
      if (std::find(order.begin(), order.end(), host) != order.end()) continue;
      order.push_back(host);
      offer(order);
      offer_all_behind(order, most);
      order.pop_back();
    }
  }

  // --- chains ---

  // How many units each host does in `pace_s`, and has room for.
  std::vector<double> capacities(double pace_s) const {
    const auto units = static_cast<double>(problem_.units());
    const MicroCost& micro = problem_.micros[micro_];
    std::vector<double> capacity;
    for (std::uint32_t host = 0; host < problem_.hosts.size(); ++host) {
      const double codec_s = costs_.codec_forward_s(micro_, host, false, false) +
                             costs_.codec_backward_s(micro_, host, false, false);
      double fits = std::floor((pace_s - codec_s) / std::max(unit_s_[host], 1e-12));
      fits = std::clamp(fits, 0.0, units);
      const double stages = units / std::max(fits, 1.0);
      const bool holds_all = problem_.schedule == job::PipelineSchedule::gpipe;
      const double depth =
          std::min<double>(micro.microbatches, holds_all ? micro.microbatches : 1 + stages / 2);
      const Costs::Span all = costs_.span(micro_, host, 0, problem_.units());
      const double unit_bytes = (all.state_bytes + depth * all.kept_bytes) / units;
      const double room = problem_.hosts[host].usable_bytes / std::max(unit_bytes, 1.0);
      capacity.push_back(std::min(fits, std::floor(room)));
    }
    return capacity;
  }

  void grow_chains(double pace_s) {
    const std::vector<double> capacity = capacities(pace_s);
    for (const std::uint32_t start : starts(capacity)) {
      Hosts chain = grown(start, capacity, pace_s);
      // The ends of the model are heavier than its middle, and early stages hold more.
      for (std::size_t extra = 0; extra < 3 && !chain.empty(); ++extra) {
        const bool fits = offer(chain);
        std::reverse(chain.begin(), chain.end());
        if (offer(chain) || fits) break;
        std::reverse(chain.begin(), chain.end());
        const std::optional<std::uint32_t> next = nearest(chain, capacity, pace_s, 1);
        if (!next) break;
        chain.push_back(*next);
      }
    }
  }

  // The most capable ones, and others spread over all.
  std::vector<std::uint32_t> starts(const std::vector<double>& capacity) const {
    Hosts able;
    for (const std::uint32_t host : by_speed_) {
      if (capacity[host] >= 1) able.push_back(host);
    }
    std::stable_sort(able.begin(), able.end(),
                     [&](std::uint32_t a, std::uint32_t b) { return capacity[a] > capacity[b]; });
    Hosts starts(able.begin(),
                 able.begin() + static_cast<std::ptrdiff_t>(std::min(able.size(), kStarts / 2)));
    for (std::size_t i = starts.size(); i < able.size() && starts.size() < kStarts;
         i += std::max<std::size_t>(1, able.size() / (kStarts / 2))) {
      starts.push_back(able[i]);
    }
    return starts;
  }

  Hosts grown(std::uint32_t start, const std::vector<double>& capacity, double pace_s) {
    Hosts chain{start};
    double left = static_cast<double>(problem_.units()) - capacity[start];
    while (left > 0 && chain.size() < best_.size()) {
      const std::optional<std::uint32_t> next = nearest(chain, capacity, pace_s, left);
      if (!next) return {};
      chain.push_back(*next);
      left -= capacity[*next];
    }
    return left > 0 ? Hosts{} : chain;
  }

  // The host that costs the least for each unit that it takes, behind the last of the chain.
  std::optional<std::uint32_t> nearest(const Hosts& chain, const std::vector<double>& capacity,
                                       double pace_s, double left) const {
    if (chain.size() >= best_.size()) return std::nullopt;
    std::vector<bool> used(problem_.hosts.size());
    for (const std::uint32_t host : chain) used[host] = true;
    const MicroCost& micro = problem_.micros[micro_];
    const auto forward = static_cast<double>(micro.forward_bytes);
    const auto backward = static_cast<double>(micro.backward_bytes);
    const std::uint32_t last = chain.back();
    std::optional<std::uint32_t> best;
    double least = kNever;
    for (std::uint32_t host = 0; host < used.size(); ++host) {
      if (used[host] || capacity[host] < 1) continue;
      const WayCost& ahead = problem_.way(last, host);
      const WayCost& back = problem_.way(host, last);
      if (ahead.rate_bytes_per_s <= 0 || back.rate_bytes_per_s <= 0) continue;
      if (problem_.way(chain.front(), host).rate_bytes_per_s <= 0) continue;
      const HostCost& cost = problem_.hosts[host];
      const double ahead_s = forward / ahead.rate_bytes_per_s;
      const double back_s = backward / back.rate_bytes_per_s;
      const double slowest_s =
          std::max({ahead_s, back_s, (forward + backward) / cost.out_bytes_per_s,
                    (forward + backward) / cost.in_bytes_per_s});
      const double waits_s = micro.microbatches * std::max(0.0, slowest_s - pace_s);
      const double costs_s = pace_s + ahead.round_trip_s + ahead_s + back_s + waits_s;
      const double each = costs_s / std::min(capacity[host], left);
      if (each < least) {
        least = each;
        best = host;
      }
    }
    return best;
  }

  // --- quick guesses ---

  Scored guess(const Hosts& hosts) const {
    std::optional<Choice> choice = fastest_cut(costs_, micro_, hosts);
    if (!choice) return {};
    double step_s = quick_step_s(costs_, *choice);
    if (hosts.size() <= kFewStages) {
      step_s = move_borders(*choice, [&](const Choice& other) {
        return is_possible(costs_, other) ? quick_step_s(costs_, other) : kNever;
      });
    }
    return {step_s, std::move(*choice)};
  }

  bool offer(const Hosts& hosts) {
    Scored scored = guess(hosts);
    if (scored.step_s == kNever) return false;
    keep(std::move(scored));
    return true;
  }

  void keep(Scored scored) {
    std::vector<Scored>& of_size = kept_[scored.choice.hosts.size() - 1];
    for (const Scored& each : of_size) {
      if (each.choice == scored.choice) return;
    }
    of_size.push_back(std::move(scored));
    std::stable_sort(of_size.begin(), of_size.end(),
                     [](const Scored& a, const Scored& b) { return a.step_s < b.step_s; });
    if (of_size.size() > kKeptOfASize) of_size.pop_back();
  }

  std::vector<Scored> promising() const {
    double least_s = kNever;
    std::vector<Scored> all;
    for (const std::vector<Scored>& of_size : kept_) {
      for (const Scored& each : of_size) least_s = std::min(least_s, each.step_s);
    }
    for (const std::vector<Scored>& of_size : kept_) {
      for (const Scored& each : of_size) {
        // The best guess of each size: some guesses are too good.
        if (&each == &of_size.front() || each.step_s <= kPromising * least_s) all.push_back(each);
      }
    }
    std::stable_sort(all.begin(), all.end(),
                     [](const Scored& a, const Scored& b) { return a.step_s < b.step_s; });
    return all;
  }

  void improve_guesses() {
    std::uint64_t work = kQuickWork;
    const std::vector<Scored> all = promising();
    for (std::size_t i = 0; i < all.size() && work > 0; ++i) {
      std::uint64_t own = work / (all.size() - i);
      work -= own;
      const OrderJudge judge = [&](const Hosts& hosts) {
        own -= std::min<std::uint64_t>(own, hosts.size());
        Scored scored = guess(hosts);
        const double step_s = scored.step_s;
        if (step_s < kNever) keep(std::move(scored));
        return step_s;
      };
      improve_order(all[i].choice.hosts, all[i].step_s, by_speed_, best_.size(), judge,
                    [&] { return own > 0; });
    }
  }

  // --- the simulator ---

  double simulated_s(const Choice& choice) {
    std::optional<Worth> worth = worth_of(costs_, choice);
    const std::uint64_t actions = std::uint64_t{2} * problem_.micros[micro_].microbatches *
                                  static_cast<std::uint64_t>(choice.hosts.size());
    simulated_left_ -= std::min(simulated_left_, actions);
    if (!worth) return kNever;
    const double step_s = worth->step_s;
    std::optional<Found>& best = best_[choice.hosts.size() - 1];
    if (!best || step_s < best->worth.step_s) best = Found{choice, std::move(*worth)};
    return step_s;
  }

  // With the borders where the simulator wants them, where that costs little.
  double simulated_order_s(const Hosts& hosts) {
    Scored scored = guess(hosts);
    if (scored.step_s == kNever) return kNever;
    if (hosts.size() > kFewStages) return simulated_s(scored.choice);
    return move_borders(
        scored.choice,
        [&](const Choice& other) { return simulated_left_ > 0 ? simulated_s(other) : kNever; },
        hosts.size() <= kVeryFewStages ? BorderMoves::together : BorderMoves::each);
  }

  // Where the quick guess wants the borders: the simulator takes too long to be asked about each.
  void move_guessed(Choice choice) {
    move_borders(choice, [&](const Choice& other) {
      return is_possible(costs_, other) ? quick_step_s(costs_, other) : kNever;
    });
    simulated_s(choice);
  }

  void simulate_promising() {
    std::vector<Scored> all = promising();
    for (Scored& each : all) each.step_s = simulated_s(each.choice);
    std::stable_sort(all.begin(), all.end(),
                     [](const Scored& a, const Scored& b) { return a.step_s < b.step_s; });
    simulated_left_ = kSimulatedWork;
    for (std::size_t i = 0; i < all.size() && simulated_left_ > 0; ++i) {
      if (i < kKeptOfASize && all[i].choice.hosts.size() > kFewStages) move_guessed(all[i].choice);
      const std::uint64_t keep_for_others = simulated_left_ / 2;
      const double step_s = simulated_order_s(all[i].choice.hosts);
      improve_order(
          all[i].choice.hosts, step_s, by_speed_, best_.size(),
          [&](const Hosts& hosts) { return simulated_order_s(hosts); },
          [&] { return simulated_left_ > keep_for_others; });
    }
  }

  const Costs& costs_;
  const Problem& problem_;
  std::size_t micro_;
  FoundBySize& best_;
  std::vector<double> unit_s_;             // of each host, on average
  Hosts by_speed_;                         // the fastest first
  std::vector<std::vector<Scored>> kept_;  // by the number of hosts; the best guesses first
  std::uint64_t simulated_left_ = kSimulatedWork;
};

}  // namespace

void search_orders(const Costs& costs, std::size_t micro, FoundBySize& best) {
  OrderSearch(costs, micro, best).run();
}

}  // namespace ptrain::plan
