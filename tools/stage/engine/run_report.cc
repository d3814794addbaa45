#include "tools/stage/engine/run_report.h"

#include <cmath>
#include <cstdio>

#include <fmt/format.h>

#include "libcommon/metrics/process_memory.h"

namespace ptrain::stage {
namespace {

std::string format_time_left(double left_s) {
  const auto total = static_cast<std::uint64_t>(std::llround(left_s));
  if (total >= 3600) return fmt::format("{} h {} min left", total / 3600, total % 3600 / 60);
  if (total >= 60) return fmt::format("{} min {} s left", total / 60, total % 60);
  return fmt::format("{} s left", total);
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
                            format_time_left(seconds(elapsed) / done * left));
}

RunReport::RunReport(RunReportOptions options, const Clock& clock)
    : options_(std::move(options)), clock_(clock), start_(clock.now()) {
  if (!options_.metrics_file.empty()) {
    metrics_.emplace(options_.metrics_file, options_.begin.value());
  }
  if (options_.driver && options_.progress != "never") progress_.emplace(clock);
}

TrainingObserver RunReport::observer() {
  return {.on_step = [this](const metrics::StepRecord& record) { step(record); },
          .on_eval = [this](const metrics::EvalRecord& record) { eval(record); },
          .on_checkpoint = [this](const metrics::CheckpointRecord& record) { checkpoint(record); }};
}

void RunReport::step(const metrics::StepRecord& record) {
  if (metrics_) {
    metrics_->write(record);
    paths(record.step);
  }
  if (!progress_) return;
  const bool plain = !progress_->active() && options_.progress == "always" &&
                     (!said_ || clock_.now() - *said_ >= kPlainProgressInterval);
  if (!progress_->active() && !plain) return;
  const std::string text = progress_text(record, options_.job.train.steps, options_.begin,
                                         clock_.now() - start_, val_loss_);
  if (!plain) {
    progress_->update(text);
    return;
  }
  said_ = clock_.now();
  fmt::print(stderr, "{}\n", text);
}

void RunReport::paths(std::uint64_t step) {
  for (const auto& [peer, traffic] : options_.mailbox.traffic()) {
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
    metrics_->write(record);
  }
}

void RunReport::eval(const metrics::EvalRecord& record) {
  val_loss_ = record.val_loss;
  if (metrics_) metrics_->write(record);
}

void RunReport::checkpoint(const metrics::CheckpointRecord& record) {
  if (metrics_) metrics_->write(record);
}

void RunReport::done(const TrainingOutcome& outcome, const std::filesystem::path& checkpoint,
                     bool json) {
  const metrics::DoneRecord record{.steps = outcome.step.value(),
                                   .val_loss = outcome.val_loss,
                                   .weights_sha256 = outcome.checkpoint.weights_sha256,
                                   .checkpoint = outcome.checkpoint.id,
                                   .train_s = seconds(outcome.time),
                                   .tokens = outcome.tokens,
                                   .peak_rss_bytes = metrics::peak_rss_bytes()};
  if (progress_) progress_->finish();
  if (outcome.stopped) return;  // not done: the next run of the job goes on
  if (metrics_) metrics_->write(record);
  if (!options_.driver) return;
  if (json) {
    fmt::print("{}\n", metrics::to_json_line(record));
    return;
  }
  const std::string loss =
      outcome.val_loss ? fmt::format(", validation loss {:.4f} nats per token", *outcome.val_loss)
                       : "";
  fmt::print("{} steps{}\n{}\nweights_sha256 {}\n", record.steps, loss, checkpoint.string(),
             record.weights_sha256);
}

}  // namespace ptrain::stage
