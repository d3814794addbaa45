#include "tools/stage/engine/trainer.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include "libcommon/base/error.h"
#include "libcommon/metrics/bottleneck.h"
#include "libcommon/metrics/process_memory.h"
#include "tools/stage/engine/step_agreement.h"
#include "tools/stage/optim/gradient_norm.h"

namespace ptrain::stage {
namespace {

bool due(std::uint64_t every, Step step) { return every > 0 && step.value() % every == 0; }

}  // namespace

Trainer::Trainer(TrainerParts parts)
    : part_(std::move(parts)),
      schedule_(pipeline::schedule(part_.job.pipeline.schedule, part_.mailbox.stages(),
                                   part_.mailbox.self(),
                                   static_cast<std::uint32_t>(part_.job.batch.microbatches()),
                                   part_.job.pipeline.in_flight)),
      slots_(static_cast<std::uint32_t>(pipeline::peak_in_flight(schedule_))),
      save_pace_(part_.job.checkpoint.every_s, part_.clock.now()) {
  part_.checkpointer.on_saved([this](const SavedCheckpoint& saved) {
    part_.observer.on_checkpoint(
        {.step = saved.step.value(), .id = saved.id, .save_s = seconds(saved.time)});
  });
}

TrainingOutcome Trainer::run(const wire::ResumeChoice& begin) {
  const TimePoint start = part_.clock.now();
  eval_batches_ = begin.eval_batches;
  step_ = begin.checkpoint.step;
  reported_ = totals();

  TrainingOutcome outcome;
  std::optional<Step> evaluated;
  if (!begin.checkpoint.id.empty()) saved_ = step_;
  try {
    while (step_.value() < part_.job.train.steps && !outcome.stopped) {
      const wire::StepVerdict verdict = train_step();
      outcome.stopped = verdict.stop;
      outcome.loss = verdict.loss;
      outcome.tokens += tokens_per_step();
      part_.checkpointer.poll();
      if (verdict.save || due(part_.job.checkpoint.every, step_)) save();
      if (due(part_.job.eval.every, step_) && !outcome.stopped) {
        outcome.val_loss = evaluate();
        evaluated = step_;
      }
    }
    // What is done is saved before anything else may fail.
    if (saved_ != step_) save();
    outcome.stopped = step_.value() < part_.job.train.steps;
    if (!outcome.stopped && evaluated != step_) outcome.val_loss = evaluate();
  } catch (const Abandoned&) {
    // Told to stop. An abandoned step has changed no weight: the state is still that of step_.
    outcome.stopped = true;
    if (saved_ != step_) save();
  }
  outcome.checkpoint = part_.checkpointer.finish(step_);
  outcome.step = step_;
  outcome.time = part_.clock.now() - start;
  const job::Job& job = part_.job;
  outcome.bottleneck = metrics::bottleneck(steps_, times_,
                                           {.forward = job.wire_forward != job::WireCodec::int8,
                                            .backward = job.wire_backward != job::WireCodec::int8})
                           .value_or("");
  return outcome;
}

void Trainer::save() {
  {
    const Stopwatch stalling(part_.clock, checkpoint_stall_);
    part_.checkpointer.save(step_);
  }
  saved_ = step_;
  save_pace_.saved(part_.clock.now());
  reported_ = totals();  // the next step's record is of the step alone
}

// One optimiser step.
wire::StepVerdict Trainer::train_step() {
  const TimePoint begin = part_.clock.now();
  part_.model.zero_gradients();
  loss_sum_ = 0;
  for (const pipeline::Action& action : schedule_) {
    part_.mailbox.check_stop("the step");
    if (action.op == pipeline::Op::forward) {
      forward(action.microbatch);
    } else {
      backward(action.microbatch);
    }
  }
  finish_gradients();
  const wire::StepVerdict verdict = agree_on_step();
  apply(verdict);
  ++step_;
  report(verdict, begin);
  return verdict;
}

void Trainer::forward(MicrobatchIndex microbatch) {
  TokenBatch tokens;
  if (first() || last()) tokens = part_.feed->microbatch(step_, microbatch);
  const at::Tensor input =
      first() ? tokens.inputs : part_.boundary.receive_activation(step_, microbatch);
  if (last()) {
    const Stopwatch computing(part_.clock, computed_);
    loss_sum_ += part_.model.forward_loss(slot(microbatch), input, tokens.targets);
    return;
  }
  at::Tensor hidden;
  {
    const Stopwatch computing(part_.clock, computed_);
    hidden = part_.model.forward(slot(microbatch), input);
    await_device();
  }
  part_.boundary.send_activation(step_, microbatch, hidden);
}

void Trainer::backward(MicrobatchIndex microbatch) {
  at::Tensor gradient;
  if (!last()) gradient = part_.boundary.receive_gradient(step_, microbatch);
  {
    const Stopwatch computing(part_.clock, computed_);
    gradient = part_.model.backward(slot(microbatch), gradient);
    await_device();
  }
  if (!first()) part_.boundary.send_gradient(step_, microbatch, gradient);
}

// Makes the accumulated gradients those of the whole step: with a tied head, embedding and
// head each hold a share of the one tensor's gradient.
void Trainer::finish_gradients() {
  part_.model.finish_gradients();
  const bool split_tie = part_.job.model.tie_word_embeddings && first() != last();
  if (!split_tie) return;
  Parameter& tied = first() ? part_.model.parameters().front() : part_.model.parameters().back();
  const StageIndex other = first() ? part_.mailbox.last() : part_.mailbox.driver();
  tied.grad.add_(part_.boundary.exchange_tied_gradient(step_, other, tied.grad));
}

// From ready to the permission to apply: reports to the driver, which decides for all.
wire::StepVerdict Trainer::agree_on_step() {
  Mailbox& mailbox = part_.mailbox;
  wire::StepReport ours{.loss_sum = loss_sum_,
                        .gradient_squares = gradient_squares(part_.model.parameters()),
                        .stop_requested = mailbox.stop_requested(),
                        .time = time()};
  // The embedding that a last stage holds for its tied head is the first stage's to count.
  if (part_.job.model.tie_word_embeddings && last() && !first()) ours.gradient_squares.pop_back();

  if (!mailbox.is_driver()) {
    mailbox.send(mailbox.driver(), wire::MessageKind::step_report, step_, wire::encode(ours));
    const auto message = mailbox.await(wire::MessageKind::step_verdict, step_, mailbox.driver());
    return wire::decode_step_verdict(message.payload.bytes());
  }
  std::vector<wire::StepReport> reports{std::move(ours)};
  for (std::uint32_t stage = 1; stage < mailbox.stages(); ++stage) {
    const auto message = mailbox.await(wire::MessageKind::step_report, step_, StageIndex(stage));
    reports.push_back(wire::decode_step_report(message.payload.bytes()));
  }
  times_.clear();
  for (const wire::StepReport& report : reports) times_.push_back(report.time);
  wire::StepVerdict verdict = agree(step_, reports, part_.job.optim.clip_norm, tokens_per_step());
  verdict.save = save_pace_.due(part_.clock.now(), part_.checkpointer.saving());
  for (std::uint32_t stage = 1; stage < mailbox.stages(); ++stage) {
    mailbox.send(StageIndex(stage), wire::MessageKind::step_verdict, step_, wire::encode(verdict));
  }
  return verdict;
}

wire::StageTime Trainer::time() const {
  wire::StageTime time{.step_s = seconds(step_time_),
                       .compute_s = seconds(reported_.compute),
                       .wait_previous_s = seconds(reported_.wait_previous),
                       .wait_next_s = seconds(reported_.wait_next)};
  const std::uint32_t self = part_.mailbox.self().value();
  for (const auto& [peer, traffic] : part_.mailbox.traffic()) {
    const wire::SendingTime sending{seconds(traffic.sending), traffic.sent.value()};
    if (peer.value() + 1 == self) time.to_previous = sending;
    if (peer.value() == self + 1) time.to_next = sending;
  }
  return time;
}

void Trainer::apply(const wire::StepVerdict& verdict) {
  const Stopwatch computing(part_.clock, computed_);
  const double lr = job::learning_rate(part_.job.optim, step_.value(), part_.job.train.steps);
  part_.optimiser.step(part_.model.parameters(), lr, verdict.clip_factor);
  await_device();
}

// CUDA computes behind the caller: without this its time would be that of whoever next asks for
// a result. Costs little there, because mostly the result is sent right after, and nothing on
// the CPU.
void Trainer::await_device() const {
  const at::Device device = part_.model.options().device;
  if (device.is_cpu()) return;
  c10::impl::VirtualGuardImpl(device.type()).getStream(device).synchronize();
}

// The mean loss over the validation sequences, in nats per token; the driver's alone, and
// nothing without validation data.
std::optional<double> Trainer::evaluate() {
  wire::EvalReport report;
  for (std::uint32_t batch = 0; batch < eval_batches_; ++batch) {
    part_.mailbox.check_stop("the evaluation");
    TokenBatch tokens;
    if (first() || last()) tokens = part_.feed->validation_batch(batch);
    const at::Tensor input =
        first() ? tokens.inputs : part_.boundary.receive_eval_activation(step_, batch);
    if (last()) {
      report.loss_sum += part_.model.evaluate(input, tokens.targets);
      report.tokens += static_cast<std::uint64_t>(tokens.targets.numel());
    } else {
      part_.boundary.send_eval_activation(step_, batch, part_.model.infer(input));
    }
  }
  if (eval_batches_ == 0) return std::nullopt;

  Mailbox& mailbox = part_.mailbox;
  if (last() && !first()) {
    mailbox.send(mailbox.driver(), wire::MessageKind::eval_report, step_, wire::encode(report));
  } else if (first() && !last()) {
    const auto message = mailbox.await(wire::MessageKind::eval_report, step_, mailbox.last());
    report = wire::decode_eval_report(message.payload.bytes());
  }
  reported_ = totals();  // the next step's record is of the step alone
  if (!mailbox.is_driver()) return std::nullopt;

  const double val_loss = report.loss_sum / static_cast<double>(report.tokens);
  const auto length = static_cast<std::uint64_t>(part_.job.data.seq_len);
  part_.observer.on_eval(
      {.step = step_.value(), .val_loss = val_loss, .sequences = report.tokens / length});
  return val_loss;
}

void Trainer::report(const wire::StepVerdict& verdict, TimePoint begin) {
  const Totals now = totals();
  const Duration taken = part_.clock.now() - begin;
  step_time_ += taken;
  ++steps_;
  const double step_s = seconds(taken);
  const auto tokens = static_cast<double>(tokens_per_step());
  part_.observer.on_step(
      {.step = step_.value(),
       .loss = verdict.loss,
       .grad_norm = verdict.gradient_norm,
       .lr = job::learning_rate(part_.job.optim, step_.value() - 1, part_.job.train.steps),
       .tokens_per_s = tokens / step_s,
       .step_s = step_s,
       .compute_s = seconds(now.compute - reported_.compute),
       .wait_s = seconds(now.wait - reported_.wait),
       .wait_previous_s = seconds(now.wait_previous - reported_.wait_previous),
       .wait_next_s = seconds(now.wait_next - reported_.wait_next),
       .checkpoint_stall_s = seconds(checkpoint_stall_),
       .tx_bytes = now.tx.value() - reported_.tx.value(),
       .rx_bytes = now.rx.value() - reported_.rx.value(),
       .tx_forward_bytes = now.boundary.forward.value() - reported_.boundary.forward.value(),
       .tx_backward_bytes = now.boundary.backward.value() - reported_.boundary.backward.value(),
       .tied_bytes = now.boundary.tied.value() - reported_.boundary.tied.value(),
       .rss_bytes = metrics::rss_bytes()});
  reported_ = now;
  checkpoint_stall_ = Duration::zero();
}

Trainer::Totals Trainer::totals() const {
  return {.compute = computed_,
          .wait = part_.mailbox.waited(),
          .wait_previous = part_.mailbox.waited_for(wire::MessageKind::activation),
          .wait_next = part_.mailbox.waited_for(wire::MessageKind::gradient),
          .tx = part_.mailbox.tx_bytes(),
          .rx = part_.mailbox.rx_bytes(),
          .boundary = part_.boundary.traffic()};
}

std::uint32_t Trainer::slot(MicrobatchIndex microbatch) const {
  return microbatch.value() % slots_;  // forwards and backwards keep microbatch order
}

std::uint64_t Trainer::tokens_per_step() const {
  return static_cast<std::uint64_t>(part_.job.batch.global) *
         static_cast<std::uint64_t>(part_.job.data.seq_len);
}

}  // namespace ptrain::stage
