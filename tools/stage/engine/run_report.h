// What one sees of a run: the progress line, the metrics file, the final record. None of it can
// end the run. One thread.

#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "libcommon/cli/progress.h"
#include "libcommon/job/job.h"
#include "libcommon/metrics/jsonl.h"
#include "tools/stage/engine/checkpointer.h"
#include "tools/stage/engine/engine.h"
#include "tools/stage/engine/post.h"
#include "tools/stage/engine/wait_meter.h"

namespace ptrain::stage {

// With --progress always and no terminal, a line as often as this.
inline constexpr Duration kPlainProgressInterval = std::chrono::seconds(5);

struct RunReportOptions {
  const job::Job& job;
  bool driver = true;             // draws the progress line and has a result to print
  metrics::JsonlWriter* metrics;  // none: null
  std::string progress;           // auto, always, never
  Step begin;                     // the step that the run goes on from
  const Post& post;               // whose paths and links are reported
  const WaitMeter& waits;         // what is waited for on them
  const Checkpointer& checkpointer;
  Log& log;
};

class RunReport {
 public:
  RunReport(RunReportOptions options, const Clock& clock);

  // Borrows this object.
  TrainingObserver observer();

  // The end of the report. What it returns is the run's result, for stdout: the driver's, of a run
  // that has come to its end; else empty. A run that was stopped goes on another time.
  std::string done(const TrainingOutcome& outcome, bool json);

 private:
  void step(const metrics::StepRecord& record);
  void eval(const metrics::EvalRecord& record);
  void checkpoint(const metrics::CheckpointRecord& record);
  void in_flight(Step step, std::uint32_t microbatches);
  void mixed_classes(const std::map<std::string, std::vector<WorkerIndex>>& classes);
  void paths(std::uint64_t step);
  void links(std::uint64_t step);
  std::string troubles() const;

  RunReportOptions options_;
  const Clock& clock_;
  std::optional<cli::ProgressLine> progress_;
  std::optional<double> val_loss_;
  std::map<WorkerIndex, std::string> paths_;  // as they were last reported
  struct LinkTotals {
    ByteCount sent;
    Duration sending{};
    WaitMeter::ByWhat waits;
  };
  std::map<WorkerIndex, LinkTotals> links_;  // the same
  TimePoint start_;
  std::optional<TimePoint> said_;  // the last line of progress where there is no terminal
};

// "continuing the run in ckpt from step 80 of 200".
std::string beginning_text(const wire::ResumeChoice& begin, const job::Job& job);
// "step 200 of 200 is done: loss 1.634, validation loss 1.701 nats per token, 3 min 20 s, 14.2k
// tokens/s", or that there was nothing to do.
std::string summary_text(const TrainingOutcome& outcome, const job::Job& job);

// "step 120/450  loss 1.634  val 1.701  14.2k tokens/s  26 %  2 min 10 s left".
// `elapsed` is the time since step `begin`.
std::string progress_text(const metrics::StepRecord& record, std::uint64_t steps, Step begin,
                          Duration elapsed, std::optional<double> val_loss);

}  // namespace ptrain::stage
