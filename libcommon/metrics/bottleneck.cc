#include "libcommon/metrics/bottleneck.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace ptrain::metrics {
namespace {

using wire::SendingTime;
using wire::StageTime;

// Of the step: what is less could be luck, and would gain little.
constexpr double kLeastLinkShare = 0.25;
constexpr double kLeastComputeShare = 0.5;
// Times the mean of the others.
constexpr double kLeastComputeRatio = 1.25;
// What is faster is no line between homes, and a measure of the processors rather than of the link.
constexpr double kFastestLine = 1e9 / 8;  // bytes a second

struct Finding {
  double gain;  // the part of the step that could go
  std::string words;
};

std::string rate_words(const SendingTime& sending) {
  const double mbit_s = static_cast<double>(sending.bytes) * 8 / 1e6 / sending.busy_s;
  return mbit_s < 10 ? fmt::format("{:.1f} Mbit/s", mbit_s) : fmt::format("{:.0f} Mbit/s", mbit_s);
}

std::optional<Finding> look_at_link(std::size_t from, std::size_t to, const SendingTime& sending,
                                    double wait_s, double step_s, bool halvable) {
  const double share = std::min(sending.busy_s, wait_s) / step_s;
  if (!(share >= kLeastLinkShare)) return std::nullopt;
  if (static_cast<double>(sending.bytes) > sending.busy_s * kFastestLine) return std::nullopt;
  std::string words = fmt::format("{:.0f} % of the step is the link from stage {} to stage {}, {}",
                                  100 * std::min(share, 1.0), from, to, rate_words(sending));
  if (halvable) {
    // Half of that part remains (Amdahl), if nothing else comes to light behind it.
    const double speedup = 1 / (1 - std::min(share, 1.0) / 2);
    words += fmt::format("; a codec of half the bytes would give up to {:.1f}x",
                         std::floor(speedup * 10) / 10);
  }
  return Finding{share, std::move(words)};
}

std::optional<Finding> look_at_computing(const std::vector<StageTime>& stages) {
  const auto slowest = std::max_element(
      stages.begin(), stages.end(),
      [](const StageTime& a, const StageTime& b) { return a.compute_s < b.compute_s; });
  double others = 0;
  for (const StageTime& each : stages) others += each.compute_s;
  others = (others - slowest->compute_s) / static_cast<double>(stages.size() - 1);
  const double ratio = slowest->compute_s / others;
  const bool stands_out =
      slowest->compute_s >= kLeastComputeShare * slowest->step_s && ratio >= kLeastComputeRatio;
  if (!stands_out) return std::nullopt;
  return Finding{
      (slowest->compute_s - others) / slowest->step_s,
      fmt::format("stage {} computes {:.1f} times as long as {}", slowest - stages.begin(), ratio,
                  stages.size() == 2 ? "the other" : "the others")};
}

}  // namespace

std::optional<std::string> bottleneck(std::uint64_t steps, const std::vector<StageTime>& stages,
                                      const HalvableWire& wire) {
  if (steps < kFewestSteps || stages.size() < 2) return std::nullopt;
  const bool all_said = std::all_of(stages.begin(), stages.end(), [](const StageTime& each) {
    return each.step_s > 0 && each.compute_s > 0;
  });
  if (!all_said) return std::nullopt;
  std::optional<Finding> worst = look_at_computing(stages);
  const auto consider = [&worst](std::optional<Finding> found) {
    if (found && (!worst || found->gain > worst->gain)) worst = std::move(found);
  };
  for (std::size_t i = 0; i + 1 < stages.size(); ++i) {
    const StageTime& before = stages[i];
    const StageTime& after = stages[i + 1];
    consider(
        look_at_link(i, i + 1, before.to_next, after.wait_previous_s, after.step_s, wire.forward));
    consider(look_at_link(i + 1, i, after.to_previous, before.wait_next_s, before.step_s,
                          wire.backward));
  }
  if (!worst) return std::nullopt;
  return std::move(worst->words);
}

}  // namespace ptrain::metrics
