#include "tools/stage/engine/engine.h"

#include <algorithm>
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
      driver_(part_.job, part_.post.place().layout()),
      eval_batches_(begin.eval_batches),
      step_(begin.checkpoint.step),
      in_flight_(begin.in_flight),
      save_pace_(part_.job.checkpoint.every_s, part_.clock.now()),
      start_(part_.clock.now()) {
  part_.checkpointer.on_saved([this](const SavedCheckpoint& saved) {
    part_.observer.on_checkpoint(
        {.step = saved.step.value(), .id = saved.id, .save_s = seconds(saved.time)});
  });
  for (const job::CellIndex& cell : place().cells()) {
    lanes_.push_back(
        {.index = cell.lane,
         .share = job::share_of_lane(static_cast<std::uint32_t>(part_.job.batch.microbatches()),
                                     place().lanes(), cell.lane)});
  }
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
      return add_tied_gradients();
    case Phase::sum:
      return sum_lanes();
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
  depth_ = 0;
  for (Lane& lane : lanes_) {
    lane.progress.emplace(pipeline::schedule(part_.job.pipeline.schedule, place().stages(),
                                             place().stage(), lane.share.count, in_flight_));
    depth_ += lane.progress->depth();
  }
  part_.cell.begin_step(step_);
}

// The lanes in turn, so that none of their neighbours waits for another lane's.
bool Engine::advance_microbatches() {
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    Lane& lane = lanes_[(next_lane_ + i) % lanes_.size()];
    if (!advance_lane(lane)) continue;
    next_lane_ = (next_lane_ + i + 1) % lanes_.size();
    const auto done = [](const Lane& each) { return each.progress->done(); };
    if (std::ranges::all_of(lanes_, done)) after_microbatches();
    return true;
  }
  return false;
}

bool Engine::advance_lane(Lane& lane) {
  for (const pipeline::Action& action : lane.progress->next()) {
    const Transfer transfer = transfer_of(lane, action);
    if (transfer.takes && !part_.inbox.has(transfer.name)) continue;
    if (transfer.gives && !part_.post.has_room(transfer.to)) continue;
    compute(lane, action);
    lane.progress->did(action);
    if (lane.progress->done()) finish_lane(lane);
    return true;
  }
  return false;
}

// A schedule counts the microbatches of its lane.
MicrobatchIndex Engine::microbatch_of(const Lane& lane, const pipeline::Action& action) const {
  return MicrobatchIndex(lane.share.first.value() + action.microbatch.value());
}

Engine::Transfer Engine::transfer_of(const Lane& lane, const pipeline::Action& action) const {
  const bool ahead = action.op == Op::forward;
  const bool has_source = ahead ? !place().is_first() : !place().is_last();
  const bool has_target = ahead ? !place().is_last() : !place().is_first();
  Transfer transfer{.takes = has_source, .gives = has_target};
  if (has_source) {
    transfer.name = message(ahead ? MessageKind::activation : MessageKind::gradient,
                            ahead ? place().previous() : place().next(), lane.index,
                            microbatch_of(lane, action));
  }
  if (has_target) {
    transfer.to = place().holder(ahead ? place().next() : place().previous(), lane.index);
  }
  return transfer;
}

void Engine::compute(Lane& lane, const pipeline::Action& action) {
  const Transfer transfer = transfer_of(lane, action);
  const Work work{.step = step_, .lane = lane.index, .microbatch = microbatch_of(lane, action)};
  const bool ahead = action.op == Op::forward;
  std::optional<wire::Message> taken;
  if (transfer.takes) taken = part_.inbox.take(transfer.name);
  auto rows = timed(part_.clock, computed_, [&] {
    return ahead ? part_.cell.forward(work, address_of(taken))
                 : part_.cell.backward(work, address_of(taken));
  });
  if (!rows) return;
  (ahead ? border_.forward : border_.backward) += rows->payload.size();
  send(transfer.to,
       message(ahead ? MessageKind::activation : MessageKind::gradient, place().stage(), lane.index,
               work.microbatch),
       std::move(*rows));
}

// Makes the lane's accumulated gradients those of all its microbatches: with a tied head, embedding
// and head each hold a share of the one tensor's gradient.
void Engine::finish_lane(Lane& lane) {
  auto ours = part_.cell.finish_gradients(lane.index);
  if (!ours) return;
  border_.tied += ours->payload.size();
  send(place().holder(other_end(), lane.index),
       message(MessageKind::tied_gradient, place().stage(), lane.index), std::move(*ours));
  lane.awaits_tied = true;
}

void Engine::after_microbatches() {
  const bool any = std::ranges::any_of(lanes_, &Lane::awaits_tied);
  any ? void(phase_ = Phase::tied) : begin_sum();
}

bool Engine::add_tied_gradients() {
  bool added = false;
  for (Lane& lane : lanes_) {
    if (!lane.awaits_tied) continue;
    const auto theirs =
        part_.inbox.take(message(MessageKind::tied_gradient, other_end(), lane.index));
    if (!theirs) continue;
    border_.tied += theirs->payload.size();
    part_.cell.add_tied_gradient(lane.index, *theirs);
    lane.awaits_tied = false;
    added = true;
  }
  if (std::ranges::none_of(lanes_, &Lane::awaits_tied)) begin_sum();
  return added;
}

void Engine::begin_sum() {
  if (place().lanes() == 1) return report_ready();
  const std::vector<LaneGradient> gradients = part_.cell.gradients();
  sum_.emplace(part_.post, part_.inbox, step_, gradients.front().values.size());
  sum_->begin(gradients);
  phase_ = Phase::sum;
}

bool Engine::sum_lanes() {
  if (!sum_->done()) return sum_->advance();
  border_.reduce += sum_->sent().value();
  sum_.reset();
  part_.cell.gradients_summed();
  report_ready();
  return true;
}

// Holders of one stage compare what they hold now and then, and whenever it was saved.
bool Engine::digest_is_due() const {
  return place().lanes() > 1 && (saved_ == step_ || job::due(part_.job.lanes.check_every, step_));
}

// From ready to the permission to apply: the driver decides for all.
void Engine::report_ready() {
  const std::uint64_t digest = digest_is_due() ? part_.cell.state_digest() : 0;
  Readiness readiness = part_.cell.ready();
  wire::StepReport ours{.loss_sums = std::move(readiness.loss_sums),
                        .gradient_squares = std::move(readiness.gradient_squares),
                        .stop_requested = part_.stop_requested(),
                        .numerics_class = std::exchange(part_.numerics_class, ""),
                        .state_digest = digest,
                        .time = time()};
  phase_ = Phase::agreement;
  if (place().is_driver()) {
    driver_.report(place().self(), std::move(ours));
  } else {
    part_.post.send(place().driver(), MessageKind::step_report, step_, wire::encode(ours));
  }
}

bool Engine::agree() {
  std::optional<wire::StepVerdict> verdict;
  if (place().is_driver()) {
    verdict = decide();
  } else if (const auto theirs =
                 part_.inbox.take(message_of(place().driver(), MessageKind::step_verdict))) {
    verdict = wire::decode_step_verdict(theirs->payload.bytes());
  }
  if (!verdict) return false;
  apply(*verdict);
  report(*verdict);
  after_step(*verdict);
  return true;
}

std::optional<wire::StepVerdict> Engine::decide() {
  while (const auto worker = driver_.missing()) {
    const auto report = part_.inbox.take(message_of(*worker, MessageKind::step_report));
    if (!report) return std::nullopt;
    driver_.report(*worker, wire::decode_step_report(report->payload.bytes()));
  }
  wire::StepVerdict verdict = driver_.decide(step_);
  if (steps_ == 0 && driver_.classes().size() > 1) {
    part_.observer.on_mixed_classes(driver_.classes());
  }
  verdict.save = save_pace_.due(part_.clock.now(), part_.checkpointer.saving());
  send_to_all(MessageKind::step_verdict, wire::encode(verdict));
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
  const bool evaluates = std::exchange(eval_due_, false) && eval_batches_ > 0 && place().leads();
  if (!evaluates) return after_evaluation();
  eval_batch_ = 0;
  part_.cell.begin_evaluation();
  phase_ = Phase::evaluation;
}

// What the next batch of an evaluation, all of which goes through lane 0, needs of the stage
// before.
std::optional<wire::MessageName> Engine::evaluated_before_us() const {
  if (place().is_first()) return std::nullopt;
  return message(MessageKind::eval_activation, place().previous(), LaneIndex(0),
                 MicrobatchIndex(eval_batch_));
}

bool Engine::evaluate_batch() {
  const auto name = evaluated_before_us();
  if (name && !part_.inbox.has(*name)) return false;
  if (!place().is_last() && !part_.post.has_room(place().leader(place().next()))) return false;
  std::optional<wire::Message> activation;
  if (name) activation = part_.inbox.take(*name);
  auto rows = part_.cell.evaluate(eval_batch_, address_of(activation));
  if (rows) {
    send(place().leader(place().next()),
         message(MessageKind::eval_activation, place().stage(), LaneIndex(0),
                 MicrobatchIndex(eval_batch_)),
         std::move(*rows));
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
  const auto report =
      part_.inbox.take(message(MessageKind::eval_report, place().last(), LaneIndex(0)));
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
  outcome_.times = driver_.times();
  phase_ = Phase::ended;
  return true;
}

// --- what a stage that cannot go on waits for, and what it gives up when it is told to stop ---

Wait Engine::waits_for() const {
  switch (phase_) {
    case Phase::microbatches:
      return waits_for_microbatch();
    case Phase::tied: {
      const auto lane = std::ranges::find_if(lanes_, &Lane::awaits_tied);
      return await(message(MessageKind::tied_gradient, other_end(), lane->index));
    }
    case Phase::sum:
      return {.what = Wait::For::sum, .whom = sum_->awaited()};
    case Phase::agreement:
      return await(place().is_driver() ? message_of(driver_.missing().value_or(place().self()),
                                                    MessageKind::step_report)
                                       : message_of(place().driver(), MessageKind::step_verdict));
    case Phase::evaluation: {
      const auto name = evaluated_before_us();
      if (name && !part_.inbox.has(*name)) return await(*name);
      return {.what = Wait::For::room, .whom = place().leader(place().next())};
    }
    case Phase::evaluated:
      return await(message(MessageKind::eval_report, place().last(), LaneIndex(0)));
    case Phase::save:
    case Phase::finish:
    case Phase::ended:
      break;
  }
  return part_.checkpointer.pending_on();
}

// Of the first lane that is not done.
Wait Engine::waits_for_microbatch() const {
  const auto lane =
      std::ranges::find_if(lanes_, [](const Lane& each) { return !each.progress->done(); });
  const Transfer transfer = transfer_of(*lane, lane->progress->next().front());
  if (transfer.takes && !part_.inbox.has(transfer.name)) return await(transfer.name);
  return {.what = Wait::For::room, .whom = transfer.to};
}

Wait Engine::await(const wire::MessageName& name) const {
  return {.name = name, .whom = place().sender(name)};
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
       .wait_lanes_s = seconds(now.wait_lanes - reported_.wait_lanes),
       .in_flight = depth_,
       .checkpoint_stall_s = seconds(checkpoint_stall_),
       .tx_bytes = now.tx.value() - reported_.tx.value(),
       .rx_bytes = now.rx.value() - reported_.rx.value(),
       .tx_forward_bytes = now.border.forward.value() - reported_.border.forward.value(),
       .tx_backward_bytes = now.border.backward.value() - reported_.border.backward.value(),
       .tied_bytes = now.border.tied.value() - reported_.border.tied.value(),
       .tx_lanes_bytes = now.border.reduce.value() - reported_.border.reduce.value(),
       .rss_bytes = metrics::rss_bytes()});
  reported_ = now;
  checkpoint_stall_ = Duration::zero();
}

Engine::Totals Engine::totals() const {
  Totals totals{.compute = computed_,
                .wait = part_.waits.total(),
                .wait_previous = part_.waits.of(MessageKind::activation),
                .wait_next = part_.waits.of(MessageKind::gradient),
                .wait_lanes = part_.waits.of(MessageKind::reduce_part),
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
  std::optional<WorkerIndex> previous, next;
  if (!place().is_first()) previous = place().holder(place().previous(), place().lowest_lane());
  if (!place().is_last()) next = place().holder(place().next(), place().lowest_lane());
  for (const auto& [peer, traffic] : part_.post.traffic()) {
    const wire::SendingTime time{
        .busy_s = seconds(traffic.sending),
        .bytes = traffic.sent.value(),
        .round_trip_s = seconds(traffic.round_trip.value_or(Duration::zero()))};
    if (peer == previous) sending.previous = time;
    if (peer == next) sending.next = time;
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

wire::MessageName Engine::message(MessageKind kind, StageIndex source, LaneIndex lane,
                                  MicrobatchIndex microbatch) const {
  return name_of(kind, step_, {source, lane}, microbatch);
}

// Of a worker's own: it speaks in the name of its first cell.
wire::MessageName Engine::message_of(WorkerIndex worker, MessageKind kind) const {
  return name_of(kind, step_, place().layout().cells_of(worker).front());
}

void Engine::send(WorkerIndex to, const wire::MessageName& name, Rows rows) {
  part_.post.send(
      to, {.name = name, .tensor = std::move(rows.tensor), .payload = std::move(rows.payload)});
}

void Engine::send_to_all(MessageKind kind, std::span<const std::byte> payload) {
  for (std::uint32_t i = 0; i < place().workers(); ++i) {
    if (WorkerIndex(i) != place().self()) part_.post.send(WorkerIndex(i), kind, step_, payload);
  }
}

}  // namespace ptrain::stage
