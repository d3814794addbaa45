// A worker at its cells: the training from where it begins to its last checkpoint.
//
// A worker holds one stage of the pipeline, in one lane or several. Each lane goes its own way
// through a step, by the schedule, as far as its messages are here; then the stage's gradients are
// summed over lanes. The state of a stage after a step is a function of its state before it and of
// the messages it consumed, in a defined order (ptrain(7)). A step has two points: ready, when all
// microbatches are back, and applied, when the workers have agreed on the clip factor and the
// optimiser has moved the weights. Between the two only scalars cross the job.
//
// Nothing here blocks: advance() does one thing that can be done with the messages that are here
// (activity.h). Borrows every part. One thread.

#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "libcommon/job/lanes.h"
#include "libcommon/metrics/step_record.h"
#include "libcommon/pipeline/step_progress.h"
#include "tools/stage/engine/activity.h"
#include "tools/stage/engine/cell_state.h"
#include "tools/stage/engine/checkpointer.h"
#include "tools/stage/engine/driver.h"
#include "tools/stage/engine/inbox.h"
#include "tools/stage/engine/lane_sum.h"
#include "tools/stage/engine/post.h"
#include "tools/stage/engine/save_pace.h"
#include "tools/stage/engine/wait_meter.h"

namespace ptrain::stage {

// What a run tells whoever watches it. Called from the training thread.
struct TrainingObserver {
  std::function<void(const metrics::StepRecord&)> on_step;
  std::function<void(const metrics::EvalRecord&)> on_eval;  // the driver's only
  std::function<void(const metrics::CheckpointRecord&)> on_checkpoint;
  // The driver's: from the step after that one on, the first stage holds so many microbatches.
  std::function<void(Step, std::uint32_t)> on_in_flight;
  // The driver's, once, where the workers compute in more than one numerics class: who in which.
  std::function<void(const std::map<std::string, std::vector<WorkerIndex>>&)> on_mixed_classes =
      [](const auto&) {};
};

struct EngineParts {
  const job::Job& job;
  CellState& cell;
  Post& post;
  Inbox& inbox;
  Checkpointer& checkpointer;
  const WaitMeter& waits;
  std::uint32_t most_in_flight = 0;  // microbatches of a lane that memory holds; 0: not known
  std::string numerics_class{};      // of this process; empty: nothing is said of it
  std::function<bool()> stop_requested;
  TrainingObserver observer;
  const Clock& clock;
};

struct TrainingOutcome {
  Step step;                       // where it ended
  bool stopped = false;            // before the job's last step, because a worker was told to
  double loss = 0;                 // of the last step, nats per token
  std::optional<double> val_loss;  // the same, at the end; the driver's, with validation data
  SavedCheckpoint checkpoint;
  std::uint64_t tokens = 0;  // trained on in this process's lifetime
  Duration time{};
  std::string bottleneck{};  // what the steps spend their time on, the driver's; empty: no word
  std::vector<wire::StageTime> times{};  // where each stage's went, the driver's
};

class Engine : public Activity {
 public:
  // Trains from where `begin` says to the job's last step, or until a stage is told to stop.
  Engine(EngineParts parts, const wire::ResumeChoice& begin);

  // Precondition: done().
  const TrainingOutcome& outcome() const { return outcome_; }
  // Optimiser steps that are made.
  Step step() const { return step_; }

  bool done() const override { return phase_ == Phase::ended; }
  bool advance() override;
  Wait waits_for() const override;
  void await_disk(Duration at_most) override { part_.checkpointer.await_disk(at_most); }
  bool takes_long() const override {
    return phase_ == Phase::microbatches || phase_ == Phase::evaluation;
  }
  std::string under_way() const override;
  Duration may_take() const override;
  bool abandon() override;

 private:
  // In the order in which a step, and then a run, goes through them.
  enum class Phase {
    microbatches,  // forwards and backwards
    tied,          // a tied head's gradient from the stage that holds the other share of it
    sum,           // of the gradients over lanes
    agreement,     // of all stages on the step
    save,
    evaluation,
    evaluated,  // the driver learns what the last stage found
    finish,     // the last checkpoint becomes durable
    ended,
  };

  // One lane's way through a step.
  struct Lane {
    LaneIndex index;
    job::MicrobatchRange share;
    std::optional<pipeline::StepProgress> progress{};
    bool awaits_tied = false;
  };
  // What an operation takes and gives, and with whom.
  struct Transfer {
    bool takes = false;
    wire::MessageName name{};  // of what it takes
    bool gives = false;
    WorkerIndex to{};
  };

  void begin_step();
  bool advance_microbatches();
  bool advance_lane(Lane& lane);
  MicrobatchIndex microbatch_of(const Lane& lane, const pipeline::Action& action) const;
  Transfer transfer_of(const Lane& lane, const pipeline::Action& action) const;
  void compute(Lane& lane, const pipeline::Action& action);
  void finish_lane(Lane& lane);
  void after_microbatches();
  bool add_tied_gradients();
  void begin_sum();
  bool sum_lanes();
  bool digest_is_due() const;
  void report_ready();
  bool agree();
  std::optional<wire::StepVerdict> decide();
  void apply(const wire::StepVerdict& verdict);
  void after_step(const wire::StepVerdict& verdict);
  bool save();
  void after_save();
  std::optional<wire::MessageName> evaluated_before_us() const;
  bool evaluate_batch();
  void report_evaluation();
  bool take_evaluation();
  void conclude_evaluation(const wire::EvalReport& report);
  void after_evaluation();
  bool finish();

  void report(const wire::StepVerdict& verdict);
  wire::StageTime time() const;
  // Of the step under way.
  wire::MessageName message(wire::MessageKind kind, StageIndex source, LaneIndex lane,
                            MicrobatchIndex microbatch = MicrobatchIndex(0)) const;
  wire::MessageName message_of(WorkerIndex worker, wire::MessageKind kind) const;
  void send(WorkerIndex to, const wire::MessageName& name, Rows rows);
  void send_to_all(wire::MessageKind kind, std::span<const std::byte> payload);
  Wait await(const wire::MessageName& name) const;
  Wait waits_for_microbatch() const;
  const Place& place() const { return part_.post.place(); }
  StageIndex other_end() const { return place().is_first() ? place().last() : place().first(); }

  EngineParts part_;
  Driver driver_;  // decides where this stage is the driver
  Phase phase_ = Phase::microbatches;
  std::uint32_t eval_batches_;
  Step step_;                // optimiser steps applied
  std::uint32_t in_flight_;  // the driver's word
  std::vector<Lane> lanes_;
  std::size_t next_lane_ = 0;  // that is looked at first
  std::optional<LaneSum> sum_;
  std::uint32_t depth_ = 0;  // microbatches that all lanes together hold at most
  bool eval_due_ = false;
  bool last_ = false;  // no step follows
  std::uint32_t eval_batch_ = 0;
  std::optional<Step> saved_;
  SavePace save_pace_;  // the driver's
  TrainingOutcome outcome_;

  TimePoint start_;
  TimePoint step_begin_{};
  TimePoint save_begin_{};
  Duration checkpoint_stall_{};
  Duration computed_{};
  // To the neighbours of our lowest lane, in all steps: without evaluations and checkpoints.
  struct Sending {
    wire::SendingTime previous;
    wire::SendingTime next;
  };
  Sending sending() const;
  Sending sending_begin_;  // what it was when the step began
  Sending in_steps_;
  struct BorderTraffic {  // encoded bytes
    ByteCount forward;    // activations sent
    ByteCount backward;   // gradients sent
    ByteCount tied;       // a tied head's gradient, both directions
    ByteCount reduce;     // to those who hold our stage in other lanes
  };
  BorderTraffic border_;
  // Totals at the end of the last reported step, to report differences.
  struct Totals {
    Duration compute{};
    Duration wait{};
    Duration wait_previous{};
    Duration wait_next{};
    Duration wait_lanes{};
    ByteCount tx, rx;
    BorderTraffic border;
  };
  Totals totals() const;
  Totals reported_;
  Duration step_time_{};  // of all steps
  std::uint64_t steps_ = 0;
};

}  // namespace ptrain::stage
