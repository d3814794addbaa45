#include "tools/stage/engine/inbox.h"

#include <fmt/format.h>

#include "libcommon/base/error.h"

namespace ptrain::stage {

using wire::MessageKind;

Inbox::Inbox(const Place& place, std::uint32_t microbatches)
    : place_(place), microbatches_(microbatches) {}

void Inbox::reached(Step step) {
  step_ = step;
  std::erase_if(letters_, [this](const auto& letter) { return over(letter.first); });
}

void Inbox::put(Letter letter) {
  const wire::MessageName& name = letter.message.name;
  if (const auto flaw = flaw_of(name)) {
    throw Error(ErrorKind::corrupt, fmt::format("{}: {}", wire::to_string(name), *flaw));
  }
  if (!over(name)) letters_.try_emplace(name, std::move(letter));
}

std::optional<wire::Message> Inbox::take(const wire::MessageName& name) {
  auto found = letters_.extract(name);
  if (!found) return std::nullopt;
  consumed_[{name.kind, name.source}] = {name.step, name.microbatch};
  return std::move(found.mapped().message);
}

// Whether it was consumed, or is of a step that has ended.
bool Inbox::over(const wire::MessageName& name) const {
  const bool of_checkpoint =
      name.kind == MessageKind::checkpoint_record || name.kind == MessageKind::checkpoint_manifest;
  if (step_ && !of_checkpoint && name.step < *step_) return true;
  const auto consumed = consumed_.find({name.kind, name.source});
  return consumed != consumed_.end() && std::pair(name.step, name.microbatch) <= consumed->second;
}

// Stages that are a step ahead of us are so by what we have sent: none can be two ahead.
std::optional<std::string> Inbox::flaw_of(const wire::MessageName& name) const {
  const bool from_previous = !place_.is_first() && name.source == place_.previous();
  const bool from_next = !place_.is_last() && name.source == place_.next();
  const bool from_driver = !place_.is_driver() && name.source == place_.driver();
  const bool to_driver =
      place_.is_driver() && name.source.value() < place_.stages && name.source != place_.self;
  const bool between_ends = (place_.is_first() && name.source == place_.last()) ||
                            (place_.is_last() && name.source == place_.first());
  if (name.epoch != 0) return fmt::format("epoch {} of a job that has one", name.epoch);
  bool sound = false;
  std::uint32_t names = 1;  // a step has so many messages of this kind from one stage
  bool of_a_step = true;    // named by the step under way
  switch (name.kind) {
    case MessageKind::activation:
      sound = from_previous;
      names = microbatches_;
      break;
    case MessageKind::gradient:
      sound = from_next;
      names = microbatches_;
      break;
    case MessageKind::eval_activation:
      sound = from_previous;
      names = UINT32_MAX;
      break;
    case MessageKind::tied_gradient:
      sound = between_ends && name.source != place_.self;
      break;
    case MessageKind::step_report:
    case MessageKind::eval_report:
      sound = to_driver;
      break;
    case MessageKind::step_verdict:
      sound = from_driver;
      break;
    case MessageKind::checkpoint_record:
    case MessageKind::resume_offer:
      sound = to_driver;
      of_a_step = false;
      break;
    case MessageKind::checkpoint_manifest:
    case MessageKind::resume_choice:
      sound = from_driver;
      of_a_step = false;
      break;
    default:  // not of a job
      break;
  }
  if (!sound) {
    return fmt::format("stage {} of {} expects none from there", place_.self.value(),
                       place_.stages);
  }
  if (name.microbatch.value() >= names) return fmt::format("a step has {} microbatches", names);
  if (of_a_step && step_ && name.step > step_->next()) {
    return fmt::format("step {} is under way here", step_->value());
  }
  return std::nullopt;
}

wire::MessageName name_of(MessageKind kind, Step step, StageIndex source,
                          MicrobatchIndex microbatch) {
  return {.epoch = 0, .step = step, .microbatch = microbatch, .kind = kind, .source = source};
}

}  // namespace ptrain::stage
