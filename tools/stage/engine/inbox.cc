#include "tools/stage/engine/inbox.h"

#include <algorithm>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/job/lanes.h"

namespace ptrain::stage {

using wire::MessageKind;

namespace {

bool in_order(MessageKind kind) { return kind != MessageKind::reduce_part; }

}  // namespace

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
  if (in_order(name.kind)) {
    consumed_[{name.kind, name.source, name.lane}] = {name.step, name.microbatch, name.part};
  }
  return std::move(found.mapped().message);
}

std::optional<wire::Message> Inbox::take_any(MessageKind kind, Step step) {
  const auto found = letters_.lower_bound(name_of(kind, step, {}));
  if (found == letters_.end()) return std::nullopt;
  const wire::MessageName name = found->first;
  if (name.step != step || name.kind != kind || name.microbatch != MicrobatchIndex(0)) {
    return std::nullopt;
  }
  return take(name);
}

// Whether it was consumed, or is of a step that has ended.
bool Inbox::over(const wire::MessageName& name) const {
  const bool of_checkpoint =
      name.kind == MessageKind::checkpoint_record || name.kind == MessageKind::checkpoint_manifest;
  if (step_ && !of_checkpoint && name.step < *step_) return true;
  const auto consumed = consumed_.find({name.kind, name.source, name.lane});
  return consumed != consumed_.end() &&
         Position(name.step, name.microbatch, name.part) <= consumed->second;
}

// Workers that are a step ahead of us are so by what we have sent: none can be two ahead.
std::optional<std::string> Inbox::flaw_of(const wire::MessageName& name) const {
  if (name.epoch != 0) return fmt::format("epoch {} of a job that has one", name.epoch);
  if (!place_.has_source(name)) {
    return fmt::format("the job has {} stages and {} lanes", place_.stages(), place_.lanes());
  }
  const auto& cells = place_.cells();
  const bool from_other = place_.sender(name) != place_.self();
  const bool in_our_lane =
      std::ranges::find(cells, name.lane, &job::CellIndex::lane) != cells.end();
  const bool from_leader = name.lane == LaneIndex(0);
  const bool from_lowest = place_.layout().cells_of(place_.sender(name)).front().lane == name.lane;
  const bool from_previous = !place_.is_first() && name.source == place_.previous();
  const bool from_next = !place_.is_last() && name.source == place_.next();
  const bool from_driver =
      !place_.is_driver() && name.source == place_.first() && name.lane == LaneIndex(0);
  const bool between_ends = (place_.is_first() && name.source == place_.last()) ||
                            (place_.is_last() && name.source == place_.first());
  bool sound = false;
  job::MicrobatchRange names{.first = MicrobatchIndex(0), .count = 1};
  bool has_parts = false;
  bool of_a_step = true;  // named by the step under way
  switch (name.kind) {
    case MessageKind::activation:
    case MessageKind::gradient:
      sound = (name.kind == MessageKind::activation ? from_previous : from_next) && in_our_lane;
      names = job::share_of_lane(microbatches_, place_.lanes(), name.lane);
      break;
    case MessageKind::eval_activation:
      sound = from_previous && from_leader && place_.leads();
      names.count = UINT32_MAX;
      break;
    case MessageKind::tied_gradient:
      sound = between_ends && from_other && in_our_lane;
      break;
    case MessageKind::step_report:
      sound = place_.is_driver() && from_other && from_lowest;
      break;
    case MessageKind::eval_report:
      sound = place_.is_driver() && from_other && from_leader && name.source == place_.last();
      break;
    case MessageKind::step_verdict:
      sound = from_driver;
      break;
    case MessageKind::reduce_part:
      sound = name.source == place_.stage() && from_other && from_lowest;
      has_parts = true;
      break;
    case MessageKind::checkpoint_record:
    case MessageKind::resume_offer:
      sound = place_.is_driver() && from_other && from_leader;
      of_a_step = false;
      break;
    case MessageKind::checkpoint_manifest:
    case MessageKind::resume_choice:
      sound = from_driver;
      of_a_step = false;
      break;
    case MessageKind::cell_state:
      sound = name.source == place_.stage() && from_leader && !place_.leads();
      has_parts = true;
      of_a_step = false;
      break;
    default:  // not of a job
      break;
  }
  if (!sound) {
    return fmt::format("stage {} of {} expects none from there", place_.stage().value(),
                       place_.stages());
  }
  const std::uint32_t end = names.first.value() + names.count;
  if (name.microbatch < names.first || name.microbatch.value() >= end) {
    return names.first == MicrobatchIndex(0)
               ? fmt::format("a step has {} microbatches", names.count)
               : fmt::format("lane {} has microbatches {} to {}", name.lane.value(),
                             names.first.value(), end - 1);
  }
  if (!has_parts && name.part != 0) return "it has no parts";
  if (of_a_step && step_ && name.step > step_->next()) {
    return fmt::format("step {} is under way here", step_->value());
  }
  return std::nullopt;
}

wire::MessageName name_of(MessageKind kind, Step step, const job::CellIndex& source,
                          MicrobatchIndex microbatch, std::uint64_t part) {
  return {.epoch = 0,
          .step = step,
          .microbatch = microbatch,
          .kind = kind,
          .source = source.stage,
          .lane = source.lane,
          .part = part};
}

}  // namespace ptrain::stage
