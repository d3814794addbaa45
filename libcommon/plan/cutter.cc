#include "libcommon/plan/cutter.h"

#include <algorithm>
#include <limits>

namespace ptrain::plan {
namespace {

constexpr double kCloseEnough = 1e-3;
constexpr int kMostHalvings = 40;
constexpr int kMostRounds = 64;

class Cutter {
 public:
  Cutter(const Costs& costs, std::size_t micro, const std::vector<std::uint32_t>& hosts)
      : costs_(costs), units_(costs.problem().units()), choice_{micro, hosts, {}} {
    const std::size_t stages = hosts.size();
    choice_.ends.resize(stages);
    for (std::size_t stage = 0; stage < stages; ++stage) {
      const bool first = stage == 0;
      const bool last = stage + 1 == stages;
      codec_s_.push_back(costs.codec_forward_s(micro, hosts[stage], first, last) +
                         costs.codec_backward_s(micro, hosts[stage], first, last));
      depth_.push_back(costs.least_depth(micro, stages, stage));
    }
  }

  // Fills each stage as far as it goes; stops early only where those behind it would be left with
  // nothing.
  bool fits(double limit_s) {
    std::size_t unit = 0;
    const std::size_t stages = choice_.hosts.size();
    for (std::size_t stage = 0; stage < stages; ++stage) {
      const std::size_t most = units_ - (stages - 1 - stage);
      if (stage + 1 == stages) {  // which needs no room for messages of a next one
        choice_.ends[stage] = static_cast<std::uint32_t>(units_);
        return holds(stage, unit, units_, limit_s);
      }
      if (!holds(stage, unit, unit + 1, limit_s)) return false;
      std::size_t low = unit + 1;  // this much it holds
      std::size_t high = most;
      while (low < high) {
        const std::size_t middle = (low + high + 1) / 2;
        if (holds(stage, unit, middle, limit_s)) {
          low = middle;
        } else {
          high = middle - 1;
        }
      }
      unit = low;
      choice_.ends[stage] = static_cast<std::uint32_t>(unit);
    }
    return false;  // no hosts
  }

  // The slowest stage of the cut that fits() has left.
  double slowest_s() const {
    double slowest_s = 0;
    std::size_t begin = 0;
    for (std::size_t stage = 0; stage < choice_.hosts.size(); ++stage) {
      slowest_s = std::max(slowest_s, work_s(stage, begin, choice_.ends[stage]));
      begin = choice_.ends[stage];
    }
    return slowest_s;
  }

  const Choice& choice() const { return choice_; }

 private:
  double work_s(std::size_t stage, std::size_t begin, std::size_t end) const {
    return codec_s_[stage] + costs_.work_s(choice_.micro, choice_.hosts[stage], begin, end);
  }

  bool holds(std::size_t stage, std::size_t begin, std::size_t end, double limit_s) const {
    if (work_s(stage, begin, end) > limit_s) return false;
    const std::uint32_t host = choice_.hosts[stage];
    return costs_.memory_bytes(choice_.micro, host, begin, end, depth_[stage]) <=
           costs_.problem().hosts[host].usable_bytes;
  }

  const Costs& costs_;
  std::size_t units_;
  Choice choice_;
  std::vector<double> codec_s_;
  std::vector<std::uint32_t> depth_;
};

}  // namespace

std::optional<Choice> fastest_cut(const Costs& costs, std::size_t micro,
                                  const std::vector<std::uint32_t>& hosts) {
  if (hosts.empty() || hosts.size() > costs.problem().units()) return std::nullopt;
  Cutter cutter(costs, micro, hosts);
  if (!cutter.fits(std::numeric_limits<double>::infinity())) return std::nullopt;
  Choice best = cutter.choice();
  double high_s = cutter.slowest_s();
  double low_s = 0;
  for (int i = 0; i < kMostHalvings && high_s - low_s > kCloseEnough * high_s; ++i) {
    const double middle_s = (low_s + high_s) / 2;
    if (cutter.fits(middle_s)) {
      best = cutter.choice();
      high_s = cutter.slowest_s();
    } else {
      low_s = middle_s;
    }
  }
  if (!is_possible(costs, best)) return std::nullopt;
  return best;
}

namespace {

class BorderMover {
 public:
  BorderMover(Choice& choice, const std::function<double(const Choice&)>& step_s)
      : choice_(choice), step_s_(step_s), best_s_(step_s(choice)) {}

  double best_s() const { return best_s_; }

  bool move_each() {
    bool better = false;
    for (std::size_t border = 0; border + 1 < choice_.ends.size(); ++border) {
      for (const int way : {-1, 1}) {
        while (move(border, border, way)) better = true;
      }
    }
    return better;
  }

  bool move_together() {
    for (std::size_t first = 0; first + 1 < choice_.ends.size(); ++first) {
      for (std::size_t last = first; last + 1 < choice_.ends.size(); ++last) {
        for (std::int64_t units = 1; units < choice_.ends.back(); units *= 2) {
          if (move(first, last, -units) || move(first, last, units)) return true;
        }
      }
    }
    return false;
  }

 private:
  // The borders from `first` to `last`, by so many units, where that is faster.
  bool move(std::size_t first, std::size_t last, std::int64_t units) {
    const std::int64_t before = first == 0 ? 0 : choice_.ends[first - 1];
    if (choice_.ends[first] + units <= before) return false;
    if (choice_.ends[last] + units >= choice_.ends[last + 1]) return false;
    Choice other = choice_;
    for (std::size_t i = first; i <= last; ++i) {
      other.ends[i] = static_cast<std::uint32_t>(other.ends[i] + units);
    }
    const double other_s = step_s_(other);
    if (other_s >= best_s_) return false;
    best_s_ = other_s;
    choice_ = std::move(other);
    return true;
  }

  Choice& choice_;
  const std::function<double(const Choice&)>& step_s_;
  double best_s_;
};

}  // namespace

double move_borders(Choice& choice, const std::function<double(const Choice&)>& step_s,
                    BorderMoves moves) {
  BorderMover mover(choice, step_s);
  for (int round = 0; round < kMostRounds; ++round) {
    if (mover.move_each()) continue;
    if (moves == BorderMoves::each || !mover.move_together()) break;
  }
  return mover.best_s();
}

}  // namespace ptrain::plan
