#include "tools/stage/engine/engine.h"

#include <utility>

#include "libcommon/base/error.h"
#include "libcommon/metrics/bottleneck.h"
#include "libcommon/metrics/process_memory.h"

namespace ptrain::stage {
namespace {

using pipeline::Op;
using wire::MessageKind;

ByteCount& operator+=(ByteCount& total, std::size_t more) {
  return total = ByteCount(total.value() + more);
}

// Adds the time that a call takes to a total.
template <class Call>
auto timed(const Clock& clock, Duration& total, Call call) {
  const TimePoint begin = clock.now();
  auto result = call();
  total += clock.now() - begin;
  return result;
}

// What has come to it since `before`.
void add(wire::SendingTime& total, const wire::SendingTime& now, const wire::SendingTime& before) {
  total.busy_s += now.busy_s - before.busy_s;
  total.bytes += now.bytes - before.bytes;
  total.round_trip_s = now.round_trip_s;
}

const wire::Message* address_of(const std::optional<wire::Message>& message) {
  return message ? &*message : nullptr;
}

}  // namespace

Engine::Engine(EngineParts parts, const wire::ResumeChoice& begin)
    : part_(std::move(parts)),
      driver_(part_.job, part_.post.place().stages),
      eval_batches_(begin.eval_batches),
      step_(begin.checkpoint.step),
      in_flight_(begin.in_flight),
      save_pace_(part_.job.checkpoint.every_s, part_.clock.now()),
      start_(part_.clock.now()) {
  part_.checkpointer.on_saved([this](const SavedCheckpoint& saved) {
    part_.observer.on_checkpoint(
        {.step = saved.step.value(), .id = saved.id, .save_s = seconds(saved.time)});
  });
  if (!begin.checkpoint.id.empty()) saved_ = step_;
  part_.inbox.reached(step_);
  reported_ = totals();
  last_ = step_.value() >= part_.job.train.steps;
  eval_due_ = last_ || begin.evaluate;
  last_&& saved_ != step_ ? void(phase_ = Phase::save) : after_save();
}

bool Engine::advance() {
  switch (phase_) {
    case Phase::microbatches:
      return advance_microbatches();
    case Phase::tied:
      return add_tied_gradient();
    case Phase::agreement:
      return agree();
    case Phase::save:
      return save();
    case Phase::evaluation:
      return evaluate_batch();
    case Phase::evaluated:
      return take_evaluation();
    case Phase::finish:
      return finish();
    case Phase::ended:
      break;
  }
  return false;
}

// --- one step, from its first microbatch to the update ---

void Engine::begin_step() {
  phase_ = Phase::microbatches;
  step_begin_ = part_.clock.now();
  sending_begin_ = sending();
  progress_.emplace(pipeline::schedule(part_.job.pipeline.schedule, place().stages, place().self,
                                       static_cast<std::uint32_t>(part_.job.batch.microbatches()),
                                       in_flight_));
  part_.cell.begin_step(step_);
}

bool Engine::advance_microbatches() {
  for (const pipeline::Action& action : progress_->next()) {
    if (!can_do(action)) continue;
    action.op == Op::forward ? forward(action.microbatch) : backward(action.microbatch);
    progress_->did(action);
    if (progress_->done()) finish_gradients();
    return true;
  }
  return false;
}

// What it needs is here, and there is room for what comes of it.
bool Engine::can_do(const pipeline::Action& action) const {
  const bool ahead = action.op == Op::forward;
  const bool takes = ahead ? !place().is_first() : !place().is_last();
  const bool gives = ahead ? !place().is_last() : !place().is_first();
  const StageIndex source = ahead ? place().previous() : place().next();
  const StageIndex target = ahead ? place().next() : place().previous();
  const MessageKind kind = ahead ? MessageKind::activation : MessageKind::gradient;
  if (takes && !part_.inbox.has(message(kind, source, action.microbatch))) return false;
  return !gives || part_.post.has_room(target);
}

void Engine::forward(MicrobatchIndex microbatch) {
  const auto activation = take_from(
      !place().is_first(), message(MessageKind::activation, place().previous(), microbatch));
  auto rows = timed(part_.clock, computed_,
                    [&] { return part_.cell.forward(step_, microbatch, address_of(activation)); });
  if (!rows) return;
  border_.forward += rows->payload.size();
  part_.post.send(place().next(), MessageKind::activation, step_, microbatch, std::move(*rows));
}

void Engine::backward(MicrobatchIndex microbatch) {
  const auto gradient =
      take_from(!place().is_last(), message(MessageKind::gradient, place().next(), microbatch));
  auto rows = timed(part_.clock, computed_,
                    [&] { return part_.cell.backward(step_, microbatch, address_of(gradient)); });
  if (!rows) return;
  border_.backward += rows->payload.size();
  part_.post.send(place().previous(), MessageKind::gradient, step_, microbatch, std::move(*rows));
}

// Makes the accumulated gradients those of the whole step: with a tied head, embedding and head
// each hold a share of the one tensor's gradient.
void Engine::finish_gradients() {
  auto ours = part_.cell.finish_gradients();
  if (!ours) return report_ready();
  border_.tied += ours->payload.size();
  part_.post.send(other_end(), MessageKind::tied_gradient, step_, MicrobatchIndex(0),
                  std::move(*ours));
  phase_ = Phase::tied;
}

bool Engine::add_tied_gradient() {
  const auto theirs = part_.inbox.take(message(MessageKind::tied_gradient, other_end()));
  if (!theirs) return false;
  border_.tied += theirs->payload.size();
  part_.cell.add_tied_gradient(*theirs);
  report_ready();
  return true;
}

// From ready to the permission to apply: the driver decides for all.
void Engine::report_ready() {
  Readiness readiness = part_.cell.ready();
  wire::StepReport ours{.loss_sum = readiness.loss_sum,
                        .gradient_squares = std::move(readiness.gradient_squares),
                        .stop_requested = part_.stop_requested(),
                        .time = time()};
  phase_ = Phase::agreement;
  if (place().is_driver()) {
    driver_.report(place().self, std::move(ours));
  } else {
    part_.post.send(place().driver(), MessageKind::step_report, step_, wire::encode(ours));
  }
}

bool Engine::agree() {
  std::optional<wire::StepVerdict> verdict;
  if (place().is_driver()) {
    verdict = decide();
  } else if (const auto theirs =
                 part_.inbox.take(message(MessageKind::step_verdict, place().driver()))) {
    verdict = wire::decode_step_verdict(theirs->payload.bytes());
  }
  if (!verdict) return false;
  apply(*verdict);
  report(*verdict);
  after_step(*verdict);
  return true;
}

std::optional<wire::StepVerdict> Engine::decide() {
  while (const auto stage = driver_.missing()) {
    const auto report = part_.inbox.take(message(MessageKind::step_report, *stage));
    if (!report) return std::nullopt;
    driver_.report(*stage, wire::decode_step_report(report->payload.bytes()));
  }
  wire::StepVerdict verdict = driver_.decide(step_);
  verdict.save = save_pace_.due(part_.clock.now(), part_.checkpointer.saving());
  for (std::uint32_t stage = 1; stage < place().stages; ++stage) {
    part_.post.send(StageIndex(stage), MessageKind::step_verdict, step_, wire::encode(verdict));
  }
  return verdict;
}

void Engine::apply(const wire::StepVerdict& verdict) {
  const TimePoint begin = part_.clock.now();
  const double lr = job::learning_rate(part_.job.optim, step_.value(), part_.job.train.steps);
  part_.cell.apply(lr, verdict.clip_factor);
  computed_ += part_.clock.now() - begin;
  ++step_;
  part_.inbox.reached(step_);
}

// --- between two steps ---

void Engine::after_step(const wire::StepVerdict& verdict) {
  outcome_.loss = verdict.loss;
  outcome_.tokens += part_.job.tokens_per_step();
  if (std::exchange(in_flight_, verdict.in_flight) != verdict.in_flight && place().is_driver()) {
    part_.observer.on_in_flight(step_, verdict.in_flight);
  }
  part_.checkpointer.poll();
  const bool complete = step_.value() >= part_.job.train.steps;
  outcome_.stopped = !complete && verdict.stop;
  last_ = complete || outcome_.stopped;
  eval_due_ = complete || (job::due(part_.job.eval.every, step_) && !outcome_.stopped);
  // What is done is saved before anything else may fail.
  const bool save_due = verdict.save || job::due(part_.job.checkpoint.every, step_) || last_;
  save_begin_ = part_.clock.now();
  save_due ? void(phase_ = Phase::save) : after_save();
}

bool Engine::save() {
  part_.checkpointer.poll();
  if (part_.checkpointer.saving()) return false;
  part_.checkpointer.save(step_);
  saved_ = step_;
  const TimePoint now = part_.clock.now();
  save_pace_.saved(now);
  checkpoint_stall_ += now - save_begin_;
  reported_ = totals();  // the next step's record is of the step alone
  after_save();
  return true;
}

void Engine::after_save() {
  if (!std::exchange(eval_due_, false) || eval_batches_ == 0) return after_evaluation();
  eval_batch_ = 0;
  part_.cell.begin_evaluation();
  phase_ = Phase::evaluation;
}

bool Engine::evaluate_batch() {
  const auto name =
      message(MessageKind::eval_activation, place().previous(), MicrobatchIndex(eval_batch_));
  if (!place().is_first() && !part_.inbox.has(name)) return false;
  if (!place().is_last() && !part_.post.has_room(place().next())) return false;
  const auto activation = take_from(!place().is_first(), name);
  auto rows = part_.cell.evaluate(eval_batch_, address_of(activation));
  if (rows) {
    part_.post.send(place().next(), MessageKind::eval_activation, step_,
                    MicrobatchIndex(eval_batch_), std::move(*rows));
  }
  if (++eval_batch_ == eval_batches_) report_evaluation();
  return true;
}

// The last stage has the result, and the driver tells it.
void Engine::report_evaluation() {
  if (place().is_driver() && !place().is_last()) {
    phase_ = Phase::evaluated;
    return;
  }
  if (place().is_driver()) {
    conclude_evaluation(part_.cell.evaluated());
  } else if (place().is_last()) {
    part_.post.send(place().driver(), MessageKind::eval_report, step_,
                    wire::encode(part_.cell.evaluated()));
  }
  after_evaluation();
}

bool Engine::take_evaluation() {
  const auto report = part_.inbox.take(message(MessageKind::eval_report, place().last()));
  if (!report) return false;
  conclude_evaluation(wire::decode_eval_report(report->payload.bytes()));
  after_evaluation();
  return true;
}

void Engine::conclude_evaluation(const wire::EvalReport& report) {
  outcome_.val_loss = report.loss_sum / static_cast<double>(report.tokens);
  const auto length = static_cast<std::uint64_t>(part_.job.data.seq_len);
  part_.observer.on_eval(
      {.step = step_.value(), .val_loss = *outcome_.val_loss, .sequences = report.tokens / length});
}

void Engine::after_evaluation() {
  reported_ = totals();  // the next step's record is of the step alone
  last_ ? void(phase_ = Phase::finish) : begin_step();
}

bool Engine::finish() {
  part_.checkpointer.poll();
  if (part_.checkpointer.saving()) return false;
  outcome_.checkpoint = part_.checkpointer.saved(step_);
  outcome_.step = step_;
  outcome_.time = part_.clock.now() - start_;
  const job::Job& job = part_.job;
  outcome_.bottleneck = metrics::bottleneck(steps_, driver_.times(),
                                            {.forward = job.wire_forward != job::WireCodec::int8,
                                             .backward = job.wire_backward != job::WireCodec::int8})
                            .value_or("");
  phase_ = Phase::ended;
  return true;
}

// --- what a stage that cannot go on waits for, and what it gives up when it is told to stop ---

Wait Engine::waits_for() const {
  switch (phase_) {
    case Phase::microbatches: {
      const pipeline::Action action = progress_->next().front();
      const bool ahead = action.op == Op::forward;
      const bool takes = ahead ? !place().is_first() : !place().is_last();
      const StageIndex source = ahead ? place().previous() : place().next();
      const wire::MessageName name = message(
          ahead ? MessageKind::activation : MessageKind::gradient, source, action.microbatch);
      if (takes && !part_.inbox.has(name)) return {.name = name};
      return {.what = Wait::For::room, .whom = ahead ? place().next() : place().previous()};
    }
    case Phase::tied:
      return {.name = message(MessageKind::tied_gradient, other_end())};
    case Phase::agreement:
      if (!place().is_driver()) {
        return {.name = message(MessageKind::step_verdict, place().driver())};
      }
      return {.name = message(MessageKind::step_report, driver_.missing().value_or(place().self))};
    case Phase::evaluation: {
      const auto name =
          message(MessageKind::eval_activation, place().previous(), MicrobatchIndex(eval_batch_));
      if (!place().is_first() && !part_.inbox.has(name)) return {.name = name};
      return {.what = Wait::For::room, .whom = place().next()};
    }
    case Phase::evaluated:
      return {.name = message(MessageKind::eval_report, place().last())};
    case Phase::save:
    case Phase::finish:
    case Phase::ended:
      break;
  }
  return part_.checkpointer.pending_on();
}

std::string Engine::under_way() const {
  if (phase_ == Phase::save || phase_ == Phase::finish) return "the checkpoint";
  if (phase_ == Phase::evaluation || phase_ == Phase::evaluated) return "the evaluation";
  return "the step";
}

Duration Engine::may_take() const {
  const bool saves = phase_ == Phase::save || phase_ == Phase::finish;
  return saves ? kFinishCheckpointWithin : kFinishStepWithin;
}

// A step that is given up has changed no weight: the state is still that of step_.
bool Engine::abandon() {
  if (phase_ == Phase::save || phase_ == Phase::finish) return false;
  outcome_.stopped = true;
  eval_due_ = false;
  last_ = true;
  save_begin_ = part_.clock.now();
  phase_ = saved_ == step_ ? Phase::finish : Phase::save;
  return true;
}

// --- figures ---

void Engine::report(const wire::StepVerdict& verdict) {
  const Totals now = totals();
  const Sending sent = sending();
  add(in_steps_.previous, sent.previous, sending_begin_.previous);
  add(in_steps_.next, sent.next, sending_begin_.next);
  const Duration taken = part_.clock.now() - step_begin_;
  step_time_ += taken;
  ++steps_;
  const double step_s = seconds(taken);
  const auto tokens = static_cast<double>(part_.job.tokens_per_step());
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
       .in_flight = progress_->depth(),
       .checkpoint_stall_s = seconds(checkpoint_stall_),
       .tx_bytes = now.tx.value() - reported_.tx.value(),
       .rx_bytes = now.rx.value() - reported_.rx.value(),
       .tx_forward_bytes = now.border.forward.value() - reported_.border.forward.value(),
       .tx_backward_bytes = now.border.backward.value() - reported_.border.backward.value(),
       .tied_bytes = now.border.tied.value() - reported_.border.tied.value(),
       .rss_bytes = metrics::rss_bytes()});
  reported_ = now;
  checkpoint_stall_ = Duration::zero();
}

Engine::Totals Engine::totals() const {
  Totals totals{.compute = computed_,
                .wait = part_.waits.total(),
                .wait_previous = part_.waits.of(MessageKind::activation),
                .wait_next = part_.waits.of(MessageKind::gradient),
                .tx = {},
                .rx = {},
                .border = border_};
  for (const auto& [peer, traffic] : part_.post.traffic()) {
    totals.tx += traffic.tx_bytes().value();
    totals.rx += traffic.rx_bytes().value();
  }
  return totals;
}

Engine::Sending Engine::sending() const {
  Sending sending;
  for (const auto& [peer, traffic] : part_.post.traffic()) {
    const wire::SendingTime time{
        .busy_s = seconds(traffic.sending),
        .bytes = traffic.sent.value(),
        .round_trip_s = seconds(traffic.round_trip.value_or(Duration::zero()))};
    if (peer == place().previous()) sending.previous = time;
    if (peer == place().next()) sending.next = time;
  }
  return sending;
}

// Of all steps that are done.
wire::StageTime Engine::time() const {
  return {.step_s = seconds(step_time_),
          .compute_s = seconds(reported_.compute),
          .wait_previous_s = seconds(reported_.wait_previous),
          .wait_next_s = seconds(reported_.wait_next),
          .to_previous = in_steps_.previous,
          .to_next = in_steps_.next,
          .most_in_flight = part_.most_in_flight};
}

wire::MessageName Engine::message(MessageKind kind, StageIndex source,
                                  MicrobatchIndex microbatch) const {
  return name_of(kind, step_, source, microbatch);
}

std::optional<wire::Message> Engine::take_from(bool wanted, const wire::MessageName& name) {
  if (!wanted) return std::nullopt;
  return part_.inbox.take(name);
}

}  // namespace ptrain::stage
