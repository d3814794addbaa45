// One pipeline stage at work: the training loop.
//
// The state of a stage after a step is a function of its state before it and of the
// messages it consumed, in a defined order (ptrain(7)). A step has two points: ready, when
// all microbatches are back, and applied, when the stages have agreed on the clip factor
// and the optimiser has moved the weights. Between the two only scalars cross the job.
//
// Borrows every part. One thread.

#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "libcommon/metrics/step_record.h"
#include "libcommon/pipeline/schedule.h"
#include "tools/stage/engine/boundary.h"
#include "tools/stage/engine/checkpointer.h"
#include "tools/stage/engine/data_feed.h"
#include "tools/stage/engine/mailbox.h"
#include "tools/stage/engine/save_pace.h"
#include "tools/stage/engine/stopwatch.h"

namespace ptrain::stage {

// What a run tells whoever watches it. Called from the training thread.
struct TrainingObserver {
  std::function<void(const metrics::StepRecord&)> on_step;
  std::function<void(const metrics::EvalRecord&)> on_eval;  // the driver's only
  std::function<void(const metrics::CheckpointRecord&)> on_checkpoint;
};

struct TrainerParts {
  const job::Job& job;
  StageModel& model;
  AdamW& optimiser;
  Mailbox& mailbox;
  Boundary& boundary;
  Checkpointer& checkpointer;
  const DataFeed* feed;  // of the first and the last stage; others have none
  TrainingObserver observer;
  const Clock& clock;
};

struct TrainingOutcome {
  Step step;                       // where it ended
  bool stopped = false;            // before the job's last step, because a stage was told to
  double loss = 0;                 // of the last step, nats per token
  std::optional<double> val_loss;  // the same, at the end; the driver's, with validation data
  SavedCheckpoint checkpoint;
  std::uint64_t tokens = 0;  // trained on in this process's lifetime
  Duration time{};
  std::string bottleneck{};  // what the steps spend their time on, the driver's; empty: no word
};

class Trainer {
 public:
  explicit Trainer(TrainerParts parts);

  // Trains from where `begin` says to the job's last step, or until a stage is told to stop.
  TrainingOutcome run(const wire::ResumeChoice& begin);
  // Optimiser steps that are made; also when run() has thrown.
  Step step() const { return step_; }

 private:
  wire::StepVerdict train_step();
  void forward(MicrobatchIndex microbatch);
  void backward(MicrobatchIndex microbatch);
  void finish_gradients();
  wire::StepVerdict agree_on_step();
  wire::StageTime time() const;
  void apply(const wire::StepVerdict& verdict);
  void await_device() const;
  void save();
  std::optional<double> evaluate();
  void report(const wire::StepVerdict& verdict, TimePoint begin);

  bool first() const { return part_.model.span().embedding; }
  bool last() const { return part_.model.span().head; }
  std::uint32_t slot(MicrobatchIndex microbatch) const;
  std::uint64_t tokens_per_step() const;

  TrainerParts part_;
  std::vector<pipeline::Action> schedule_;
  std::uint32_t slots_;
  std::uint32_t eval_batches_ = 0;
  Step step_;  // optimiser steps applied
  std::optional<Step> saved_;
  SavePace save_pace_;   // the driver's
  double loss_sum_ = 0;  // nats of the step under way; the last stage's

  // Totals at the end of the last reported step, to report differences.
  struct Totals {
    Duration compute{};
    Duration wait{};
    Duration wait_previous{};
    Duration wait_next{};
    ByteCount tx, rx;
    BoundaryTraffic boundary;
  };
  Totals totals() const;
  Totals reported_;
  Duration computed_{};
  Duration step_time_{};  // of all steps
  std::uint64_t steps_ = 0;
  std::vector<wire::StageTime> times_;  // of all stages, the driver's
  Duration checkpoint_stall_{};
};

}  // namespace ptrain::stage
