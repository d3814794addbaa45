// What one sees of a run: the progress line, the metrics file, the final record.
// One thread.

#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "libcommon/cli/progress.h"
#include "libcommon/job/job.h"
#include "libcommon/metrics/jsonl.h"
#include "tools/stage/engine/mailbox.h"
#include "tools/stage/engine/trainer.h"

namespace ptrain::stage {

// With --progress always and no terminal, a line as often as this.
inline constexpr Duration kPlainProgressInterval = std::chrono::seconds(5);

struct RunReportOptions {
  const job::Job& job;
  bool driver = true;        // draws the progress line and prints the final record
  std::string metrics_file;  // empty: none; "-": stdout
  std::string progress;      // auto, always, never
  Step begin;                // the step that the run goes on from
  const Mailbox& mailbox;    // whose paths are reported
};

class RunReport {
 public:
  RunReport(RunReportOptions options, const Clock& clock);

  // Borrows this object.
  TrainingObserver observer();

  void done(const TrainingOutcome& outcome, const std::filesystem::path& checkpoint, bool json);

 private:
  void step(const metrics::StepRecord& record);
  void eval(const metrics::EvalRecord& record);
  void checkpoint(const metrics::CheckpointRecord& record);
  void paths(std::uint64_t step);

  RunReportOptions options_;
  const Clock& clock_;
  std::optional<metrics::JsonlWriter> metrics_;
  std::optional<cli::ProgressLine> progress_;
  std::optional<double> val_loss_;
  std::map<StageIndex, std::string> paths_;  // as they were last reported
  TimePoint start_;
  std::optional<TimePoint> said_;  // the last line of progress where there is no terminal
};

// "step 120/450  loss 1.634  val 1.701  14.2k tokens/s  26 %  2 min 10 s left".
// `elapsed` is the time since step `begin`.
std::string progress_text(const metrics::StepRecord& record, std::uint64_t steps, Step begin,
                          Duration elapsed, std::optional<double> val_loss);

}  // namespace ptrain::stage
