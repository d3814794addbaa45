#include "tools/stage/engine/checkpointer.h"

#include <algorithm>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/job/optimiser_state.h"
#include "tools/stage/engine/common_checkpoint.h"
#include "tools/stage/engine/lineage.h"
#include "tools/stage/engine/save_answer.h"

namespace ptrain::stage {
namespace {

// Checkpoints that a stage offers at most: the newest ones.
constexpr std::size_t kMostOffered = 64;

// Between two looks at whether this stage was told to stop, while its files are written.
constexpr Duration kWriterSlice = std::chrono::milliseconds(100);

std::string_view text_of(const wire::Buffer& payload) {
  return {reinterpret_cast<const char*>(payload.data()), payload.size()};
}

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

// The manifest that follows from what all stages said; or why there is none.
std::string answer_to(const std::map<StageIndex, std::string>& reports) {
  std::vector<ckpt::StageRecord> records;
  for (const auto& [stage, report] : reports) {
    if (const auto why = why_not_saved(report)) {
      return not_saved(fmt::format("stage {}: {}", stage.value(), *why));
    }
    records.push_back(
        ckpt::parse_record(report, fmt::format("checkpoint record from stage {}", stage.value())));
  }
  return ckpt::canonical_json(ckpt::make_manifest(records));
}

job::CellIndex leading(StageIndex stage) { return {stage, LaneIndex(0)}; }

std::string writer_name(StageIndex stage) { return fmt::format("stage-{:02}", stage.value()); }

}  // namespace

ResumeMode parse_resume_mode(const std::string& text) {
  if (text == "auto") return {ResumeMode::Kind::automatic, ""};
  if (text == "none") return {ResumeMode::Kind::none, ""};
  return {ResumeMode::Kind::named, text};
}

Checkpointer::Checkpointer(const job::Job& job, const job::StageSpan& span, Post& post,
                           Inbox& inbox, CellState& cell, os::Storage& storage, Log& log,
                           const Clock& clock)
    : job_(job),
      span_(span),
      post_(post),
      inbox_(inbox),
      cell_(cell),
      storage_(storage),
      log_(log),
      clock_(clock),
      store_(storage, job.checkpoint.dir, writer_name(post.place().stage())),
      writer_store_(storage, job.checkpoint.dir, writer_name(post.place().stage())),
      writer_(clock) {
  if (span.embedding) tokenizer_.emplace(job, storage);
}

void Checkpointer::begin_resume(const ResumeMode& mode, const JobData* data) {
  mode_ = mode;
  data_ = data;
  if (data != nullptr) data_fingerprint_ = data->training_fingerprint();
  const Place& place = post_.place();
  if (!place.leads()) return;
  if (source_ != nullptr && mode.kind != ResumeMode::Kind::none) mend_newest(mode);
  offer_ = offer(mode);
  for (const wire::CheckpointName& share : offer_.shares) shares_.push_back(share.step);
  if (place.is_driver()) return;
  post_.send(place.driver(), wire::MessageKind::resume_offer, Step(0), wire::encode(offer_));
}

std::optional<wire::ResumeChoice> Checkpointer::resume() {
  if (!choice_) {
    choice_ = post_.place().is_driver() ? choose() : await_choice();
    if (!choice_) return std::nullopt;
    data_fingerprint_ = choice_->data_fingerprint;
    if (choice_->seal) begin_seal(choice_->checkpoint.step);
  }
  if (pending_) poll();
  if (pending_) return std::nullopt;
  if (choice_->seal) choice_->checkpoint.id = sealed(choice_->checkpoint.step);
  if (choice_->checkpoint.id.empty()) {
    cell_.initialise();
  } else if (post_.place().leads()) {
    if (!handing_out_) {
      load_or_mend(choice_->checkpoint);
      handing_out_.emplace(post_, choice_->checkpoint.step, cell_.state());
    }
    if (!handing_out_->advance()) return std::nullopt;
  } else {
    if (!taking_over_) {
      taking_over_.emplace(post_.place(), choice_->checkpoint.step, cell_.state());
    }
    if (!taking_over_->advance(inbox_)) return std::nullopt;
    cell_.load(taking_over_->source(), choice_->checkpoint.step);
    if (!latest_) {
      latest_ = {choice_->checkpoint.step, choice_->checkpoint.id, choice_->weights_sha256,
                 Duration{}};
    }
  }
  handing_out_.reset();
  taking_over_.reset();
  if (tokenizer_) tokenizer_->check(data_->training());
  return choice_;
}

Wait Checkpointer::resume_waits_for() const {
  const Place& place = post_.place();
  if (handing_out_) return {.what = Wait::For::room, .whom = handing_out_->awaits_room()};
  if (taking_over_) return await(taking_over_->awaited());
  if (choice_) return pending_on();
  if (!place.is_driver()) {
    return await(name_of(wire::MessageKind::resume_choice, Step(0), leading(place.first())));
  }
  StageIndex missing(1);
  while (offers_.contains(missing)) ++missing;
  return await(name_of(wire::MessageKind::resume_offer, Step(0), leading(missing)));
}

std::optional<wire::ResumeChoice> Checkpointer::await_choice() {
  const auto message =
      inbox_.take(name_of(wire::MessageKind::resume_choice, Step(0), leading(StageIndex(0))));
  if (!message) return std::nullopt;
  return wire::decode_resume_choice(message->payload.bytes());
}

// The checkpoint that will be offered first, whole here if any holder can help: the newest one,
// theirs or ours.
void Checkpointer::mend_newest(const ResumeMode& mode) {
  const bool named = mode.kind == ResumeMode::Kind::named;
  const auto accept = [this](const ckpt::Manifest& manifest) { check_lineage(manifest); };
  std::optional<ckpt::StepInfo> ours;
  if (named) {
    ours = store_.find(mode.name);
  } else {
    for (ckpt::StepInfo& info : store_.list()) {
      if (info.manifest) ours = std::move(info);
    }
  }
  if (ours && !ours->manifest) ours.reset();
  std::optional<transfer::Entry> theirs;
  try {
    theirs = source_->find(named ? mode.name : "latest", accept);
  } catch (const Error& error) {
    // What they have is another job's: no reason not to go on from our own.
    if (!ours || named || error.kind() != ErrorKind::usage) throw;
    log_.warning(error.what());
  }
  const bool ours_first = ours && (!theirs || ours->step >= theirs->step);
  if (!ours && !theirs) return;
  if (ours_first && !flaw_of(*ours)) return;
  source_->bring(ours_first ? ours->id->hex() : theirs->id.hex(), accept);
}

wire::ResumeOffer Checkpointer::offer(const ResumeMode& mode) const {
  std::vector<ckpt::StepInfo> steps = store_.list();
  const std::vector<ckpt::StepInfo> all = steps;
  // Without a manifest a step does not exist: what a crash leaves is not worth a word.
  std::erase_if(steps, [](const ckpt::StepInfo& info) {
    return !info.manifest && info.state == ckpt::StepState::partial && !info.linked;
  });
  if (mode.kind == ResumeMode::Kind::none) {
    if (steps.empty()) return {};
    throw Error(ErrorKind::usage,
                fmt::format("{} holds checkpoints up to step {}, which --resume none would "
                            "write over",
                            store_.directory().string(), steps.back().step.value()),
                "use --resume auto to continue, or another checkpoint.dir to begin anew");
  }
  if (mode.kind == ResumeMode::Kind::named) {
    const auto found = store_.find(mode.name);
    if (!found) {
      throw Error(ErrorKind::usage,
                  fmt::format("--resume {}: no such checkpoint in {}", mode.name,
                              store_.directory().string()),
                  "--resume auto takes the newest one");
    }
    refuse_to_write_over(steps, found->step, mode.name);
    steps = {*found};
  }
  wire::ResumeOffer offer;
  std::string flaws;
  for (auto info = steps.rbegin(); info != steps.rend(); ++info) {
    if (offer.checkpoints.size() == kMostOffered) break;
    if (!info->manifest && run_of_share(info->step)) continue;
    if (const auto flaw = flaw_of(*info)) {
      if (info->linked) {
        throw Error(ErrorKind::usage,
                    fmt::format("{} is a symbolic link and cannot be continued from: {}; the run "
                                "would come to it, and nothing is written through a link",
                                store_.step_directory(info->step).string(), *flaw),
                    "move the link away");
      }
      // No reason not to continue from an older, whole one; but somebody should know.
      log_.warning(fmt::format("passed over {}: {}", ckpt::step_name(info->step), *flaw));
      flaws +=
          fmt::format("{}{}: {}", flaws.empty() ? "" : "; ", ckpt::step_name(info->step), *flaw);
    } else {
      offer.checkpoints.push_back({info->step, info->id->hex()});
    }
  }
  offer_shares(offer, mode.kind == ResumeMode::Kind::named ? steps : all);
  if (offer.checkpoints.empty() && offer.shares.empty() && !flaws.empty()) {
    throw Error(ErrorKind::corrupt,
                fmt::format("{} holds checkpoints, but none that is whole: {}",
                            store_.directory().string(), flaws),
                "restore the damaged files, or set another checkpoint.dir to begin anew");
  }
  return offer;
}

// Newest first, and none older than our newest checkpoint. That one is among them: another stage
// may have its files and not the manifest.
void Checkpointer::offer_shares(wire::ResumeOffer& offer,
                                const std::vector<ckpt::StepInfo>& steps) const {
  const Step oldest = offer.checkpoints.empty() ? Step(0) : offer.checkpoints.front().step;
  for (auto info = steps.rbegin(); info != steps.rend(); ++info) {
    if (offer.shares.size() == kMostOffered || info->step < oldest) break;
    if (const auto run = run_of_share(info->step)) offer.shares.push_back({info->step, *run});
  }
}

std::optional<std::string> Checkpointer::run_of_share(Step step) const {
  return stage::run_of_share(storage_, store_, step,
                             {.stage = post_.place().stage(),
                              .stages = post_.place().stages(),
                              .span = span_,
                              .resume_hash = job::resume_hash(job_),
                              .data_fingerprint = data_fingerprint_});
}

// Throws Error(usage) where checkpoints lie in the way of a run that begins at `first`: whole ones,
// and links, through which nothing is written.
void Checkpointer::refuse_to_write_over(const std::vector<ckpt::StepInfo>& steps, Step first,
                                        const std::string& resumed) const {
  std::string whole;
  std::string flawed;
  for (const ckpt::StepInfo& info : steps) {
    if (info.step <= first) continue;
    std::string& list = !info.linked && flaw_of(info) ? flawed : whole;
    list += (list.empty() ? "" : ", ") + ckpt::step_name(info.step);
  }
  const std::string directory = store_.directory().string();
  if (!whole.empty()) {
    const std::string older = store_.step_directory(first).string();
    throw Error(ErrorKind::usage,
                fmt::format("--resume {}: {} holds {}, which the run would come to and not write "
                            "over",
                            resumed, directory, whole),
                fmt::format("to keep them and branch off: mkdir FOLDER; cp -r {} FOLDER, and --set "
                            "checkpoint.dir=FOLDER; or move them to another folder",
                            older));
  }
  if (flawed.empty()) return;
  log_.info(
      fmt::format("--resume {}: in {}, not whole and written over when the run comes there: {}",
                  resumed, directory, flawed));
}

void Checkpointer::check_lineage(const ckpt::Manifest& manifest) const {
  require_lineage(manifest, job_, store_.directory(), data_fingerprint_, data_);
}

// Why this stage cannot continue from that checkpoint; nothing where it can. Looks at names,
// sizes and headers: the bytes are checked when they are loaded.
std::optional<std::string> Checkpointer::flaw_of(const ckpt::StepInfo& info) const {
  if (!info.manifest) return info.reason;
  check_lineage(*info.manifest);
  try {
    const ckpt::CheckpointReader reader(storage_, store_.step_directory(info.step),
                                        ckpt::Coverage::held_stages);
    for (const job::ParameterSpec& spec : job::parameters(job_.model, span_)) {
      if (!reader.contains(spec.name)) return spec.name + " is not here";
      for (const std::string& suffix : job::state_suffixes(job_.optim, spec)) {
        if (!reader.contains(spec.name + suffix)) return spec.name + suffix + " is not here";
      }
    }
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::corrupt) throw;
    return error.what();
  }
  return std::nullopt;
}

// The driver's: nothing before all have made their offers, then the same for all.
std::optional<wire::ResumeChoice> Checkpointer::choose() {
  const std::uint32_t stages = post_.place().stages();
  for (std::uint32_t i = 1; i < stages; ++i) {
    const auto offer =
        inbox_.take(name_of(wire::MessageKind::resume_offer, Step(0), leading(StageIndex(i))));
    if (offer) offers_[StageIndex(i)] = wire::decode_resume_offer(offer->payload.bytes());
  }
  if (offers_.size() + 1 < stages) return std::nullopt;
  wire::ResumeChoice choice = best_of(offers_, offer_, mode_.kind == ResumeMode::Kind::named);
  choice.eval_batches = data_->validation_batches();  // the driver embeds: it has data
  choice.data_fingerprint = data_fingerprint_;
  const Step step = choice.checkpoint.step;
  choice.evaluate = step > Step(0) && job::due(job_.eval.every, step) && !evaluated_(step);
  if (!choice.checkpoint.id.empty()) {
    choice.weights_sha256 = to_hex(store_.read_manifest(step).weights_sha256);
  }
  choice.in_flight = static_cast<std::uint32_t>(std::max<std::int64_t>(0, job_.pipeline.in_flight));
  send_to_all(wire::MessageKind::resume_choice, Step(0), wire::encode(choice));
  return choice;
}

// The manifest of a step of which all stages hold their shares, as at the end of a save.
void Checkpointer::begin_seal(Step step) {
  pending_ = step;
  pending_since_ = clock_.now();
  sealing_ = true;
  if (!post_.place().leads()) return;
  report(step, ckpt::canonical_json(store_.read_record(step, post_.place().stage())));
}

std::string Checkpointer::sealed(Step step) const {
  if (latest_ && latest_->step == step) return latest_->id;
  throw Error(ErrorKind::io, failure_,
              fmt::format("make room in {}, then the same command goes on from step {}",
                          store_.directory().string(), step.value()));
}

// Damage shows when the bytes are read.
void Checkpointer::load_or_mend(const wire::CheckpointName& checkpoint) {
  try {
    return load(checkpoint);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::corrupt) throw;
    const bool mended = source_ != nullptr && source_->bring(checkpoint.id, {});
    if (!mended) throw Error(error.kind(), error.what(), repair_hint(checkpoint));
  }
  load(checkpoint);
}

std::string Checkpointer::repair_hint(const wire::CheckpointName& checkpoint) const {
  std::string hint = fmt::format("mend it with ptrain-ckpt fetch {} --dir {} --from ENDPOINT",
                                 checkpoint.id, store_.directory().string());
  const auto steps = store_.list();
  const auto older = std::find_if(steps.rbegin(), steps.rend(), [&](const ckpt::StepInfo& info) {
    return info.step < checkpoint.step && !flaw_of(info);
  });
  if (older == steps.rend()) return hint;
  return hint + fmt::format(", or move it away and go on from an older one: --resume {}",
                            older->step.value());
}

void Checkpointer::load(const wire::CheckpointName& checkpoint) {
  const ckpt::CheckpointReader reader(storage_, store_.step_directory(checkpoint.step),
                                      ckpt::Coverage::held_stages);
  cell_.load(reader, checkpoint.step);
  if (tokenizer_) tokenizer_->continue_from(reader);
  resumed_job_ = reader.manifest().run.job;
  latest_ = {checkpoint.step, checkpoint.id, to_hex(reader.manifest().weights_sha256), Duration{}};
}

void Checkpointer::save(Step step) {
  const TimePoint begin = clock_.now();
  std::optional<ckpt::StageState> state;
  if (post_.place().leads()) state = snapshot(step);
  pending_ = step;
  pending_since_ = begin;
  reports_.clear();
  if (!state) return;  // who leads the stage writes it; we hear of the manifest
  writer_.submit([this, state = std::move(*state)] { write_and_report(state); });
}

// A copy of the state, which is `step`'s, in memory that the next one takes.
ckpt::StageState Checkpointer::snapshot(Step step) {
  const StateTensors state = cell_.state();
  std::vector<ckpt::TensorView> tensors = state.model;
  tensors.insert(tensors.end(), state.optim.begin(), state.optim.end());
  const auto& copies = snapshot_.assign(tensors);
  const auto optim = copies.begin() + static_cast<std::ptrdiff_t>(state.model.size());

  return {.run = {.step = step,
                  .cursor = step.value() * static_cast<std::uint64_t>(job_.batch.global),
                  .model = job_.model,
                  .job = job::canonical_json(job_),
                  .job_hash = job::job_hash(job_),
                  .resume_hash = job::resume_hash(job_),
                  .data_fingerprint = data_fingerprint_},
          .stage = post_.place().stage(),
          .stage_count = post_.place().stages(),
          .span = span_,
          .model = {copies.begin(), optim},
          .optim = {optim, copies.end()},
          .tokenizer = tokenizer_ ? tokenizer_->model() : std::nullopt};
}

// Runs on the worker.
void Checkpointer::write_and_report(const ckpt::StageState& state) {
  std::string record;
  try {
    record = ckpt::canonical_json(writer_store_.write_stage(state));
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::io) throw;
    record = not_saved(error.what());
  }
  report(state.run.step, std::move(record));
}

// What this stage says of a save. Any thread.
void Checkpointer::report(Step step, std::string record) {
  const Place& place = post_.place();
  if (place.is_driver()) {
    const std::lock_guard lock(own_report_mutex_);
    own_report_ = std::move(record);
  } else {
    post_.send(place.driver(), wire::MessageKind::checkpoint_record, step, bytes_of(record));
  }
}

void Checkpointer::poll() {
  if (writer_.idle()) writer_.wait_until_idle();  // throws what the save threw
  if (!pending_) return;
  if (post_.place().is_driver()) {
    collect_records();
  } else if (const auto message = inbox_.take(name_of(wire::MessageKind::checkpoint_manifest,
                                                      *pending_, leading(StageIndex(0))))) {
    conclude(text_of(message->payload));
  }
  if (!pending_) sealing_ = false;
}

Wait Checkpointer::pending_on() const {
  if (!writer_.idle()) return {.what = Wait::For::disk, .words = "the disk"};
  const Place& place = post_.place();
  StageIndex missing = place.first();
  if (place.is_driver()) {
    for (missing = StageIndex(1); reports_.contains(missing); ++missing) {
    }
    // Only our own is missing, and it came after we looked: there is nothing to wait for.
    if (missing.value() >= place.stages()) return {.what = Wait::For::disk, .words = "the disk"};
  }
  return {.what = Wait::For::others,
          .whom = place.leader(missing),
          .words = fmt::format("the other stages to save step {}", pending_->value())};
}

void Checkpointer::collect_records() {
  const Place& place = post_.place();
  {
    const std::lock_guard lock(own_report_mutex_);
    if (own_report_) reports_[place.stage()] = std::move(*own_report_);
    own_report_.reset();
  }
  for (std::uint32_t i = 1; i < place.stages(); ++i) {
    const StageIndex stage(i);
    if (const auto message =
            inbox_.take(name_of(wire::MessageKind::checkpoint_record, *pending_, leading(stage)))) {
      reports_[stage] = text_of(message->payload);
    }
  }
  if (reports_.size() < place.stages()) return;

  const std::string answer = answer_to(std::exchange(reports_, {}));
  send_to_all(wire::MessageKind::checkpoint_manifest, *pending_, bytes_of(answer));
  conclude(answer);
}

void Checkpointer::send_to_all(wire::MessageKind kind, Step step,
                               std::span<const std::byte> payload) {
  const Place& place = post_.place();
  for (std::uint32_t i = 0; i < place.workers(); ++i) {
    if (WorkerIndex(i) != place.self()) post_.send(WorkerIndex(i), kind, step, payload);
  }
}

Wait Checkpointer::await(const wire::MessageName& name) const {
  return {.name = name, .whom = post_.place().sender(name)};
}

// What the driver said of the pending save, to every worker.
void Checkpointer::conclude(std::string_view answer) {
  if (const auto why = why_not_saved(answer)) {
    give_up(*why);
  } else {
    settle(ckpt::parse_manifest(answer, "manifest from stage 0"));
  }
}

void Checkpointer::settle(const ckpt::Manifest& manifest) {
  std::optional<ckpt::CheckpointId> id;
  try {
    id = post_.place().leads() ? store_.write_manifest(manifest) : ckpt::checkpoint_id(manifest);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::io) throw;
    return give_up(error.what());
  }
  latest_ = {manifest.run.step, id->hex(), to_hex(manifest.weights_sha256),
             clock_.now() - pending_since_};
  pending_.reset();
  discard_shares_before(latest_->step);
  if (on_saved_) on_saved_(*latest_);
}

// Nobody goes on from them any more.
void Checkpointer::discard_shares_before(Step step) {
  for (const Step share : shares_) {
    if (share < step) store_.discard(share, post_.place().stage());
  }
  std::erase_if(shares_, [step](Step share) { return share < step; });
}

void Checkpointer::give_up(const std::string& why) {
  const Step step = *std::exchange(pending_, std::nullopt);
  ++failures_;
  failure_ = fmt::format("no checkpoint of step {}: {}", step.value(), why);
  log_.warning(failure_);
  if (!sealing_ && post_.place().leads()) store_.discard(step, post_.place().stage());
}

void Checkpointer::await_writer(const std::function<void()>& check) {
  while (!writer_.idle_within(kWriterSlice)) check();
}

void Checkpointer::keep_share(Step step, const std::function<void()>& check) {
  if (!post_.place().leads()) return;
  await_writer(check);
  try {
    writer_.wait_until_idle();
  } catch (const Error&) {  // what became of an earlier save is no matter now
  }
  if ((latest_ && latest_->step == step) || has_saved(step)) return;
  pending_.reset();
  try {
    writer_.submit([this, state = snapshot(step)] { writer_store_.write_stage(state); });
    await_writer(check);
    writer_.wait_until_idle();
  } catch (const Abandoned&) {
    throw;
  } catch (const std::exception& error) {
    log_.warning(
        fmt::format("this stage's share of step {} is not saved: {}", step.value(), error.what()));
  }
}

LeftBehind Checkpointer::left_behind(Step step) const {
  std::optional<Step> saved;
  if (latest_) saved = latest_->step;
  return {.trained = step,
          .saved = saved,
          .automatic = mode_.kind == ResumeMode::Kind::automatic,
          .share = has_saved(step)};
}

// Whether our files of the step are here, of this very job.
bool Checkpointer::has_saved(Step step) const {
  return run_of_share(step) == name_of_run(job::job_hash(job_), data_fingerprint_);
}

SavedCheckpoint Checkpointer::saved(Step step) const {
  if (latest_ && latest_->step == step) return *latest_;
  if (failures_ > 0) {
    const std::string kept =
        latest_ ? fmt::format("; step {} is the newest that is saved", latest_->step.value()) : "";
    throw Error(ErrorKind::io, failure_ + kept,
                fmt::format("make room in {}; {}", store_.directory().string(),
                            what_is_lost(left_behind(step))));
  }
  throw Error(ErrorKind::internal, fmt::format("no checkpoint of step {} was saved", step.value()));
}

}  // namespace ptrain::stage
