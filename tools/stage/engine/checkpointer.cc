#include "tools/stage/engine/checkpointer.h"

#include <algorithm>
#include <span>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "tools/stage/engine/tensor_bytes.h"

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

std::string writer_name(StageIndex stage) { return fmt::format("stage-{:02}", stage.value()); }

}  // namespace

ResumeMode parse_resume_mode(const std::string& text) {
  if (text == "auto") return {ResumeMode::Kind::automatic, ""};
  if (text == "none") return {ResumeMode::Kind::none, ""};
  return {ResumeMode::Kind::named, text};
}

Checkpointer::Checkpointer(const job::Job& job, const job::StageSpan& span, Mailbox& mailbox,
                           StageModel& model, AdamW& optimiser, os::Storage& storage, Log& log,
                           const Clock& clock)
    : job_(job),
      span_(span),
      mailbox_(mailbox),
      model_(model),
      optimiser_(optimiser),
      storage_(storage),
      log_(log),
      clock_(clock),
      store_(storage, job.checkpoint.dir, writer_name(mailbox.self())),
      writer_store_(storage, job.checkpoint.dir, writer_name(mailbox.self())),
      writer_(clock) {}

wire::ResumeChoice Checkpointer::resume(const ResumeMode& mode, const DataFeed* feed) {
  if (feed != nullptr) data_fingerprint_ = feed->training_fingerprint();
  if (source_ != nullptr && mode.kind != ResumeMode::Kind::none) mend_newest(mode);
  const wire::ResumeOffer ours = offer(mode);
  wire::ResumeChoice choice;
  if (mailbox_.is_driver()) {
    choice = choose(mode, ours);
    choice.eval_batches = feed->validation_batches();  // the driver embeds: it has data
    choice.data_fingerprint = data_fingerprint_;
    for (std::uint32_t stage = 1; stage < mailbox_.stages(); ++stage) {
      mailbox_.send(StageIndex(stage), wire::MessageKind::resume_choice, Step(0),
                    wire::encode(choice));
    }
  } else {
    mailbox_.send(mailbox_.driver(), wire::MessageKind::resume_offer, Step(0), wire::encode(ours));
    const wire::Message message =
        mailbox_.await(wire::MessageKind::resume_choice, Step(0), mailbox_.driver());
    choice = wire::decode_resume_choice(message.payload.bytes());
  }
  data_fingerprint_ = choice.data_fingerprint;
  if (!choice.checkpoint.id.empty()) load_or_mend(choice.checkpoint);
  return choice;
}

// The checkpoint that will be offered first, whole here if any holder can help: the newest one,
// theirs or ours.
void Checkpointer::mend_newest(const ResumeMode& mode) {
  const bool named = mode.kind == ResumeMode::Kind::named;
  const auto theirs = source_->find(named ? mode.name : "latest");
  std::optional<ckpt::StepInfo> ours;
  if (named) {
    ours = store_.find(mode.name);
  } else {
    for (ckpt::StepInfo& info : store_.list()) {
      if (info.manifest) ours = std::move(info);
    }
  }
  if (ours && !ours->manifest) ours.reset();
  const bool ours_first = ours && (!theirs || ours->step >= theirs->step);
  if (!ours && !theirs) return;
  if (ours_first && !flaw_of(*ours)) return;
  source_->bring(ours_first ? ours->id->hex() : theirs->id.hex(),
                 [this](const ckpt::Manifest& manifest) { check_lineage(manifest); });
}

wire::ResumeOffer Checkpointer::offer(const ResumeMode& mode) const {
  std::vector<ckpt::StepInfo> steps = store_.list();
  // Without a manifest a step does not exist: what a crash leaves is not worth a word.
  std::erase_if(steps, [](const ckpt::StepInfo& info) {
    return !info.manifest && info.state == ckpt::StepState::partial;
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
    if (steps.back().step > found->step) {
      log_.warning(
          fmt::format("--resume {}: {} holds checkpoints up to step {}, and --resume auto "
                      "takes those until this run has saved over them",
                      mode.name, store_.directory().string(), steps.back().step.value()));
    }
    steps = {*found};
  }
  wire::ResumeOffer offer;
  std::string flaws;
  for (auto info = steps.rbegin(); info != steps.rend(); ++info) {
    if (offer.checkpoints.size() == kMostOffered) break;
    if (const auto flaw = flaw_of(*info)) {
      // No reason not to continue from an older, whole one; but somebody should know.
      log_.warning(fmt::format("passed over {}: {}", ckpt::step_name(info->step), *flaw));
      flaws +=
          fmt::format("{}{}: {}", flaws.empty() ? "" : "; ", ckpt::step_name(info->step), *flaw);
    } else {
      offer.checkpoints.push_back({info->step, info->id->hex()});
    }
  }
  if (offer.checkpoints.empty() && !flaws.empty()) {
    throw Error(ErrorKind::corrupt,
                fmt::format("{} holds checkpoints, but none that is whole: {}",
                            store_.directory().string(), flaws),
                "restore the damaged files, or set another checkpoint.dir to begin anew");
  }
  return offer;
}

// Throws Error(usage) for a checkpoint of another job, or of the same job on other data.
void Checkpointer::check_lineage(const ckpt::Manifest& manifest) const {
  const ckpt::RunState& run = manifest.run;
  const std::string resume_hash = job::resume_hash(job_);
  if (run.resume_hash != resume_hash) {
    throw Error(ErrorKind::usage,
                fmt::format("{} holds {} of another job: its resume hash is {}, this job's {}",
                            store_.directory().string(), ckpt::step_name(run.step), run.resume_hash,
                            resume_hash),
                "restore the model, data, batch, seed and optim keys of that job, or set "
                "another checkpoint.dir");
  }
  if (!data_fingerprint_.empty() && run.data_fingerprint != data_fingerprint_) {
    throw Error(ErrorKind::usage,
                fmt::format("{} holds {}, trained on other data: their fingerprint is {}, that of "
                            "data.train {}",
                            store_.directory().string(), ckpt::step_name(run.step),
                            run.data_fingerprint, data_fingerprint_),
                "restore the training shards, or set another checkpoint.dir");
  }
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
      for (const char* part : {"", ".exp_avg", ".exp_avg_sq"}) {
        if (!reader.contains(spec.name + part)) return spec.name + part + " is not here";
      }
    }
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::corrupt) throw;
    return error.what();
  }
  return std::nullopt;
}

wire::ResumeChoice Checkpointer::choose(const ResumeMode& mode, const wire::ResumeOffer& ours) {
  std::vector<wire::CheckpointName> common = ours.checkpoints;  // newest first
  bool anyone_has_one = !common.empty();
  for (std::uint32_t stage = 1; stage < mailbox_.stages(); ++stage) {
    const wire::Message message =
        mailbox_.await(wire::MessageKind::resume_offer, Step(0), StageIndex(stage));
    const auto theirs = wire::decode_resume_offer(message.payload.bytes()).checkpoints;
    anyone_has_one = anyone_has_one || !theirs.empty();
    std::erase_if(common, [&](const wire::CheckpointName& name) {
      return std::ranges::find(theirs, name) == theirs.end();
    });
  }
  if (!common.empty()) return {.checkpoint = common.front()};
  if (anyone_has_one || mode.kind == ResumeMode::Kind::named) {
    throw Error(ErrorKind::usage, "the stages hold checkpoints, but none that all of them hold",
                "copy the missing stage files to their hosts, or set another checkpoint.dir to "
                "begin anew");
  }
  return {};
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
  return hint + fmt::format(", or go on from an older one with --resume {}", older->step.value());
}

void Checkpointer::load(const wire::CheckpointName& checkpoint) {
  const ckpt::CheckpointReader reader(storage_, store_.step_directory(checkpoint.step),
                                      ckpt::Coverage::held_stages);
  std::vector<Parameter>& parameters = model_.parameters();
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const std::string& name = parameters[i].spec.name;
    read_tensor(reader, name, parameters[i].value);
    read_tensor(reader, name + ".exp_avg", optimiser_.moments()[i].exp_avg);
    read_tensor(reader, name + ".exp_avg_sq", optimiser_.moments()[i].exp_avg_sq);
  }
  model_.refresh_compute();
  optimiser_.set_updates(checkpoint.step.value());
  latest_ = {checkpoint.step, checkpoint.id, to_hex(reader.manifest().weights_sha256), Duration{}};
}

void Checkpointer::save(Step step) {
  if (pending_) finish(*pending_);
  const TimePoint begin = clock_.now();
  const std::vector<Parameter>& parameters = model_.parameters();
  std::vector<at::Tensor> host;  // the tensors themselves, or copies where they lie on a device
  std::vector<ckpt::TensorView> tensors;
  const auto add = [&](const std::string& name, const at::Tensor& tensor) {
    host.push_back(tensor.to(at::kCPU).contiguous());
    tensors.push_back(tensor_view(name, host.back()));
  };
  for (const Parameter& parameter : parameters) add(parameter.spec.name, parameter.value);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    add(parameters[i].spec.name + ".exp_avg", optimiser_.moments()[i].exp_avg);
    add(parameters[i].spec.name + ".exp_avg_sq", optimiser_.moments()[i].exp_avg_sq);
  }
  const auto& copies = snapshot_.assign(tensors);
  const auto moments = copies.begin() + static_cast<std::ptrdiff_t>(parameters.size());

  pending_ = step;
  pending_since_ = begin;
  records_.clear();
  ckpt::StageState state{
      .run = {.step = step,
              .cursor = step.value() * static_cast<std::uint64_t>(job_.batch.global),
              .model = job_.model,
              .job = job::canonical_json(job_),
              .job_hash = job::job_hash(job_),
              .resume_hash = job::resume_hash(job_),
              .data_fingerprint = data_fingerprint_},
      .stage = mailbox_.self(),
      .stage_count = mailbox_.stages(),
      .span = span_,
      .model = {copies.begin(), moments},
      .optim = {moments, copies.end()}};
  writer_.submit([this, state = std::move(state)] { write_and_report(state); });
}

// Runs on the worker.
void Checkpointer::write_and_report(const ckpt::StageState& state) {
  ckpt::StageRecord record = writer_store_.write_stage(state);
  if (mailbox_.is_driver()) {
    const std::lock_guard lock(own_record_mutex_);
    own_record_ = std::move(record);
  } else {
    mailbox_.send(mailbox_.driver(), wire::MessageKind::checkpoint_record, state.run.step,
                  bytes_of(ckpt::canonical_json(record)));
  }
}

void Checkpointer::poll() {
  if (writer_.idle()) writer_.wait_until_idle();  // throws what the save threw
  if (!pending_) return;
  if (mailbox_.is_driver()) {
    collect_records();
  } else if (const auto message = mailbox_.take(wire::MessageKind::checkpoint_manifest, *pending_,
                                                mailbox_.driver())) {
    settle(ckpt::parse_manifest(text_of(message->payload), "manifest from stage 0"));
  }
}

void Checkpointer::collect_records() {
  {
    const std::lock_guard lock(own_record_mutex_);
    if (own_record_) records_[mailbox_.self()] = std::move(*own_record_);
    own_record_.reset();
  }
  for (std::uint32_t i = 1; i < mailbox_.stages(); ++i) {
    const StageIndex stage(i);
    if (records_.contains(stage)) continue;
    if (const auto message =
            mailbox_.take(wire::MessageKind::checkpoint_record, *pending_, stage)) {
      records_[stage] = ckpt::parse_record(text_of(message->payload),
                                           fmt::format("checkpoint record from stage {}", i));
    }
  }
  if (records_.size() < mailbox_.stages()) return;

  std::vector<ckpt::StageRecord> all;
  for (auto& [stage, record] : records_) all.push_back(std::move(record));
  records_.clear();
  const ckpt::Manifest manifest = ckpt::make_manifest(all);
  for (std::uint32_t i = 1; i < mailbox_.stages(); ++i) {
    mailbox_.send(StageIndex(i), wire::MessageKind::checkpoint_manifest, *pending_,
                  bytes_of(ckpt::canonical_json(manifest)));
  }
  settle(manifest);
}

void Checkpointer::settle(const ckpt::Manifest& manifest) {
  const ckpt::CheckpointId id = store_.write_manifest(manifest);
  latest_ = {manifest.run.step, id.hex(), to_hex(manifest.weights_sha256),
             clock_.now() - pending_since_};
  pending_.reset();
  if (on_saved_) on_saved_(*latest_);
}

SavedCheckpoint Checkpointer::finish(Step step) {
  while (!writer_.idle_within(kWriterSlice)) {
    mailbox_.check_stop("the checkpoint", kFinishCheckpointWithin);
  }
  while (pending_) {
    poll();
    if (pending_) mailbox_.await_any();
  }
  if (!latest_ || latest_->step != step) {
    throw Error(ErrorKind::internal,
                fmt::format("no checkpoint of step {} was saved", step.value()));
  }
  return *latest_;
}

}  // namespace ptrain::stage
