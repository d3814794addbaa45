#include "tools/stage/engine/run_report.h"

#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "libcommon/metrics/process_memory.h"
#include "tools/stage/engine/what_is_lost.h"

namespace ptrain::stage {
namespace {

std::string format_time(double time_s) {
  const auto total = static_cast<std::uint64_t>(std::llround(time_s));
  if (total >= 3600) return fmt::format("{} h {} min", total / 3600, total % 3600 / 60);
  if (total >= 60) return fmt::format("{} min {} s", total / 60, total % 60);
  return fmt::format("{} s", total);
}

std::string format_rate(double tokens_per_s) {
  if (tokens_per_s >= 10000) return fmt::format("{:.1f}k tokens/s", tokens_per_s / 1000);
  return fmt::format("{:.0f} tokens/s", tokens_per_s);
}

}  // namespace

std::string progress_text(const metrics::StepRecord& record, std::uint64_t steps, Step begin,
                          Duration elapsed, std::optional<double> val_loss) {
  const auto done = static_cast<double>(record.step - begin.value());
  const auto left = static_cast<double>(steps - record.step);
  std::string text = fmt::format("step {}/{}  loss {:.3f}", record.step, steps, record.loss);
  if (val_loss) text += fmt::format("  val {:.3f}", *val_loss);
  return text + fmt::format("  {}  {} %  {}", format_rate(record.tokens_per_s),
                            record.step * 100 / steps,
                            format_time(seconds(elapsed) / done * left) + " left");
}

std::string beginning_text(const wire::ResumeChoice& begin, const job::Job& job) {
  const std::uint64_t step = begin.checkpoint.step.value();
  const std::uint64_t steps = job.train.steps;
  const std::string& directory = job.checkpoint.dir;
  if (begin.checkpoint.id.empty()) {
    return fmt::format("starting anew, for {} steps; checkpoints go to {}", steps, directory);
  }
  if (step >= steps) {
    return fmt::format("0 steps to do: the run in {} is at step {} of {}", directory, step, steps);
  }
  return fmt::format("continuing the run in {} from step {} of {}{}", directory, step, steps,
                     begin.seal ? ", of which every stage had saved its share" : "");
}

std::string summary_text(const TrainingOutcome& outcome, const job::Job& job) {
  const bool trained = outcome.tokens > 0;
  std::string text =
      fmt::format("{}step {} of {} is done", trained ? "" : "0 steps to do: ", outcome.step.value(),
                  job.train.steps);
  std::string losses = trained ? fmt::format("loss {:.4f}", outcome.loss) : "";
  if (outcome.val_loss) {
    losses += fmt::format("{}validation loss {:.4f}", trained ? ", " : "", *outcome.val_loss);
  }
  if (!losses.empty()) text += ": " + losses + " nats per token";
  if (!trained) return text;
  const double time_s = seconds(outcome.time);
  const std::string time = time_s < 10 ? fmt::format("{:.1f} s", time_s) : format_time(time_s);
  return text +
         fmt::format(", {}, {}", time, format_rate(static_cast<double>(outcome.tokens) / time_s));
}

RunReport::RunReport(RunReportOptions options, const Clock& clock)
    : options_(std::move(options)), clock_(clock), start_(clock.now()) {
  if (options_.metrics != nullptr) options_.metrics->cut_back_to(options_.begin.value());
  if (options_.driver && options_.progress != "never") progress_.emplace(clock);
}

TrainingObserver RunReport::observer() {
  return {.on_step = [this](const metrics::StepRecord& record) { step(record); },
          .on_eval = [this](const metrics::EvalRecord& record) { eval(record); },
          .on_checkpoint = [this](const metrics::CheckpointRecord& record) { checkpoint(record); },
          .on_in_flight = [this](Step step, std::uint32_t most) { in_flight(step, most); },
          .on_mixed_classes = [this](const auto& classes) { mixed_classes(classes); }};
}

void RunReport::step(const metrics::StepRecord& record) {
  if (options_.metrics != nullptr) {
    options_.metrics->write(record);
    paths(record.step);
    links(record.step);
  }
  if (!progress_) return;
  const bool plain = !progress_->active() && options_.progress == "always" &&
                     (!said_ || clock_.now() - *said_ >= kPlainProgressInterval);
  if (!progress_->active() && !plain) return;
  const std::string text = progress_text(record, options_.job.train.steps, options_.begin,
                                         clock_.now() - start_, val_loss_) +
                           troubles();
  if (!plain) {
    progress_->update(text);
    return;
  }
  said_ = clock_.now();
  progress_->print(text);
}

void RunReport::paths(std::uint64_t step) {
  for (const auto& [peer, traffic] : options_.post.traffic()) {
    // Between two paths there is none, which is no news.
    const std::string now = traffic.path + " " + traffic.why;
    if (traffic.path.empty() || !traffic.route || paths_[peer] == now) continue;
    paths_[peer] = now;
    metrics::PathRecord record{.step = step,
                               .peer = peer.value(),
                               .path = traffic.path,
                               .route = net::name_of(*traffic.route),
                               .why = traffic.why,
                               .round_trip_s = {},
                               .changes = traffic.path_changes,
                               .reconnects = traffic.reconnects};
    if (traffic.round_trip) record.round_trip_s = seconds(*traffic.round_trip);
    options_.metrics->write(record);
  }
}

// What has changed since the last step.
void RunReport::links(std::uint64_t step) {
  for (const auto& [peer, traffic] : options_.post.traffic()) {
    LinkTotals& before = links_[peer];
    const double sending_s = seconds(traffic.sending - before.sending);
    metrics::LinkRecord record{.step = step,
                               .peer = peer.value(),
                               .sent_bytes = traffic.sent.value() - before.sent.value(),
                               .queued_bytes = traffic.queued.value()};
    if (sending_s > 0) {
      record.goodput_bytes_per_s = static_cast<double>(record.sent_bytes) / sending_s;
    }
    if (traffic.round_trip) record.round_trip_s = seconds(*traffic.round_trip);
    const auto waits = options_.waits.by_worker().find(peer);
    if (waits != options_.waits.by_worker().end()) {
      for (const auto& [what, total] : waits->second) {
        const Duration now = total - before.waits[what];
        if (now > Duration::zero()) record.waits[what] = seconds(now);
      }
      before.waits = waits->second;
    }
    before.sent = traffic.sent;
    before.sending = traffic.sending;
    options_.metrics->write(record);
  }
}

std::string RunReport::troubles() const {
  std::string text;
  if (const std::uint64_t failed = options_.checkpointer.failures(); failed > 0) {
    text += fmt::format("  {} checkpoints not saved", failed);
  }
  if (options_.metrics != nullptr && options_.metrics->missing() > 0) {
    text += fmt::format("  {} lines of metrics not written", options_.metrics->missing());
  }
  return text;
}

void RunReport::eval(const metrics::EvalRecord& record) {
  val_loss_ = record.val_loss;
  if (options_.metrics != nullptr) options_.metrics->write(record);
}

void RunReport::checkpoint(const metrics::CheckpointRecord& record) {
  if (options_.metrics != nullptr) options_.metrics->write(record);
}

void RunReport::in_flight(Step step, std::uint32_t microbatches) {
  options_.log.info(
      fmt::format("from step {} on, stage 0 holds up to {} microbatches, because of the "
                  "links' round trips",
                  step.value() + 1, microbatches));
}

void RunReport::mixed_classes(const std::map<std::string, std::vector<WorkerIndex>>& classes) {
  std::string text;
  for (const auto& [name, workers] : classes) {
    std::vector<std::string> called;
    for (const WorkerIndex worker : workers) {
      called.push_back(options_.post.place().layout().called(worker));
    }
    text += fmt::format("{}{} of {}", text.empty() ? "" : "; ", name, fmt::join(called, ", "));
  }
  options_.log.info(
      "the hosts compute in different numerics classes, so the weights are those of "
      "other hosts up to rounding: " +
      text);
}

std::string RunReport::done(const TrainingOutcome& outcome, bool json) {
  const metrics::DoneRecord record{.steps = outcome.step.value(),
                                   .val_loss = outcome.val_loss,
                                   .weights_sha256 = outcome.checkpoint.weights_sha256,
                                   .checkpoint = outcome.checkpoint.id,
                                   .train_s = seconds(outcome.time),
                                   .tokens = outcome.tokens,
                                   .peak_rss_bytes = metrics::peak_rss_bytes(),
                                   .bottleneck = outcome.bottleneck};
  if (progress_) progress_->finish();
  const std::string directory = options_.checkpointer.directory(outcome.step).string();
  if (outcome.stopped) {
    options_.log.info(fmt::format("step {} of {} is saved in {}: {}", record.steps,
                                  options_.job.train.steps, directory,
                                  what_is_lost(options_.checkpointer.left_behind(outcome.step))));
    return "";
  }
  if (options_.metrics != nullptr) options_.metrics->write(record);
  if (!options_.driver) {
    const bool saves = options_.post.place().leads();
    options_.log.info(fmt::format("step {} of {} is done{}", record.steps, options_.job.train.steps,
                                  saves ? "; this stage's share of it is in " + directory : ""));
    return "";
  }
  if (json) return metrics::to_json_line(record) + "\n";
  return fmt::format("{}\n{}\nweights_sha256 {}\n", summary_text(outcome, options_.job), directory,
                     record.weights_sha256);
}

}  // namespace ptrain::stage
