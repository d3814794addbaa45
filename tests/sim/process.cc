#include "tests/sim/process.h"

#include <utility>

#include <fmt/format.h>

#include "libcommon/job/lanes.h"

namespace ptrain::sim {

Process::Process(ProcessParts parts)
    : parts_(std::move(parts)),
      cell_(parts_.job, parts_.span,
            {.payload_bytes = 16, .compute = [this](bool) { parts_.compute(); }}),
      inbox_(parts_.post.place(), static_cast<std::uint32_t>(parts_.job.batch.microbatches())),
      loop_(
          parts_.post, inbox_, meter_, [this] { return told_to_stop_; }, parts_.clock),
      checkpointer_(parts_.job, parts_.span, parts_.post, inbox_, cell_, parts_.storage, log_,
                    parts_.clock) {}

bool Process::turn() {
  if (!resumption_) {
    checkpointer_.evaluated_where(parts_.evaluated);
    resumption_.emplace(checkpointer_, stage::parse_resume_mode("auto"), parts_.data);
  }
  if (!resumption_->done()) {
    const bool went_on = loop_.turn(*resumption_);
    await_disk();
    return went_on;
  }
  if (!engine_) {
    engine_.emplace(
        stage::EngineParts{
            .job = parts_.job,
            .cell = cell_,
            .post = parts_.post,
            .inbox = inbox_,
            .checkpointer = checkpointer_,
            .waits = meter_,
            .most_in_flight = 1000,
            .stop_requested = [this] { return told_to_stop_; },
            .observer = {
                .on_step = [](const auto&) {},
                .on_eval = [](const auto&) {},
                .on_checkpoint = [](const auto&) {},
                .on_in_flight = [this](Step, std::uint32_t depth) { parts_.deepened(depth); }},
            .clock = parts_.clock},
        resumption_->choice());
  }
  if (engine_->done()) return false;
  const bool went_on = loop_.turn(*engine_);
  await_disk();  // what is written has been, before anything else happens
  return went_on;
}

std::string Process::called() const {
  return parts_.post.place().layout().called(parts_.post.place().self());
}

std::string Process::waits_for() const {
  if (engine_) return to_string(engine_->waits_for());
  return resumption_ ? to_string(resumption_->waits_for()) : "the others to appear";
}

void Process::part() {
  if (engine_) checkpointer_.keep_share(engine_->step(), [] {});
}

std::optional<std::string> Process::excess(std::uint32_t deepest) const {
  const stage::Place& place = parts_.post.place();
  const job::Job& job = parts_.job;
  std::size_t most = 0;
  for (const job::CellIndex& cell : place.cells()) {
    const auto share = job::share_of_lane(static_cast<std::uint32_t>(job.batch.microbatches()),
                                          place.lanes(), cell.lane);
    most += pipeline::peak_in_flight(
        pipeline::schedule(job.pipeline.schedule, place.stages(), place.stage(), share.count,
                           job.pipeline.in_flight < 0 ? deepest : job.pipeline.in_flight));
  }
  if (inbox_.size() == 0 && cell_.most_held() <= most) return std::nullopt;
  return fmt::format("{} has kept {} messages, and held {} microbatches of at most {}", called(),
                     inbox_.size(), cell_.most_held(), most);
}

}  // namespace ptrain::sim
