#include "libcommon/ckpt/retention.h"

#include <algorithm>

#include <fmt/format.h>

namespace ptrain::ckpt {
namespace {

class Decision {
 public:
  Decision(std::span<const StepInfo> steps, Step verified, const RetentionPolicy& policy,
           std::chrono::system_clock::time_point now)
      : verified_(verified), policy_(policy), now_(now) {
    // clang 14 knows no std::views::reverse of a span, and builds the fuzzers.
    for (auto info = steps.rbegin(); info != steps.rend(); ++info) {
      if (newest_.size() == policy.keep_last) break;
      if (is_usable(*info)) newest_.push_back(info->step);
    }
  }

  Retention of(const StepInfo& info) const {
    if (info.linked) return {info.step, true, "a symbolic link: what it leads to is not removed"};
    if (info.step == verified_) return {info.step, true, "the newest whose data were verified"};
    if (info.step > verified_) return {info.step, true, newer(info)};
    if (std::ranges::find(newest_, info.step) != newest_.end()) {
      return {info.step, true, fmt::format("one of the newest {}", policy_.keep_last)};
    }
    if (is_usable(info) && policy_.keep_every > 0 && info.step.value() % policy_.keep_every == 0) {
      return {info.step, true, fmt::format("a multiple of {}", policy_.keep_every)};
    }
    if (!info.manifest && info.state == StepState::partial && now_ - info.modified < kSaveMayLast) {
      return {info.step, true, "it may be being written"};
    }
    return {info.step, false, is_usable(info) ? "no rule keeps it" : info.reason};
  }

 private:
  static std::string newer(const StepInfo& info) {
    return is_usable(info) ? "newer than the newest whose data were verified, and damaged"
                           : "newer than the newest whose data were verified; " + info.reason;
  }

  Step verified_;
  RetentionPolicy policy_;
  std::chrono::system_clock::time_point now_;
  std::vector<Step> newest_;
};

}  // namespace

bool is_usable(const StepInfo& info) {
  return info.state == StepState::complete ||
         (info.state == StepState::partial && !info.held.empty());
}

std::optional<Step> newest_verified(std::span<const StepInfo> steps,
                                    const std::function<bool(const StepInfo&)>& verify) {
  for (auto info = steps.rbegin(); info != steps.rend(); ++info) {
    if (is_usable(*info) && verify(*info)) return info->step;
  }
  return std::nullopt;
}

std::vector<Retention> plan_retention(std::span<const StepInfo> steps, Step verified,
                                      const RetentionPolicy& policy,
                                      std::chrono::system_clock::time_point now) {
  const Decision decision(steps, verified, policy, now);
  std::vector<Retention> plan;
  for (const StepInfo& info : steps) plan.push_back(decision.of(info));
  return plan;
}

}  // namespace ptrain::ckpt
