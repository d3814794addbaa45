#include "libcommon/net/frame_receiver.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "libcommon/wire/checksum.h"

namespace ptrain::net {

namespace {

bool may_be_kept(const wire::Buffer& payload) {
  const auto address = reinterpret_cast<std::uintptr_t>(payload.data());
  return payload.size() >= kKeptFrameBytes && address % alignof(std::uint64_t) == 0;
}

}  // namespace

FrameReceiver::FrameReceiver(wire::Urgency urgency, std::uint64_t credit_window,
                             std::uint64_t message_limit)
    : urgency_(urgency),
      window_(credit_window),
      message_limit_(message_limit),
      granted_(credit_window) {}

FrameReceiver::Outcome FrameReceiver::breach(std::string why) const {
  return {Verdict::breach,
          fmt::format("frame {} of urgency {}: {}", next_, wire::name_of(urgency_), why)};
}

FrameReceiver::Outcome FrameReceiver::accept(wire::Data frame) {
  if (frame.sequence < next_ || ahead_.contains(frame.sequence)) return {Verdict::duplicate, ""};
  if (wire::checksum(frame.payload.bytes()) != frame.checksum) {
    if (++damaged_in_a_row_ >= kMaxDamagedInARow) {
      return breach(fmt::format("its checksum was wrong {} times in a row", damaged_in_a_row_));
    }
    return {Verdict::damaged, ""};
  }
  damaged_in_a_row_ = 0;
  // Whoever cuts frames within their credit sends none beyond it, in whichever order they come.
  const std::uint64_t cost = frame_cost(frame.payload.size());
  if (arrived_cost_ + cost > granted_) {
    return breach(
        fmt::format("{} bytes beyond the credit of {}", arrived_cost_ + cost - granted_, granted_));
  }
  arrived_cost_ += cost;
  if (frame.sequence > next_) {
    ahead_cost_ += cost;
    ahead_.emplace(frame.sequence, std::move(frame));
    return {Verdict::accepted, ""};
  }
  Outcome outcome = append(std::move(frame));
  while (outcome.verdict == Verdict::accepted && !ahead_.empty() &&
         ahead_.begin()->first == next_) {
    wire::Data following = std::move(ahead_.extract(ahead_.begin()).mapped());
    ahead_cost_ -= frame_cost(following.payload.size());
    outcome = append(std::move(following));
  }
  return outcome;
}

FrameReceiver::Outcome FrameReceiver::append(wire::Data frame) {
  if (frame.start.has_value() == start_.has_value()) {
    return breach(start_ ? "a message begins inside another" : "a message without a beginning");
  }
  if (frame.start && frame.start->payload_bytes == frame.payload.size() &&
      may_be_kept(frame.payload)) {
    if (auto flaw = flaw_of(*frame.start)) return breach(std::move(*flaw));
    finish(std::move(*frame.start), std::move(frame.payload));
  } else {
    if (frame.start) {
      if (auto flaw = begin(*frame.start)) return breach(std::move(*flaw));
    } else if (frame.payload.empty()) {
      return breach("it continues a message with nothing");
    }
    const std::size_t whole = start_->payload_bytes;
    if (frame.payload.size() > whole - assembled_) {
      return breach(fmt::format("a message of {} bytes goes on beyond its end", whole));
    }
    if (!frame.payload.empty()) {
      make_room(assembled_ + frame.payload.size());
      std::memcpy(assembly_.data() + assembled_, frame.payload.data(), frame.payload.size());
    }
    assembled_ += frame.payload.size();
    if (assembled_ == whole) {
      finish(std::move(*start_), std::move(assembly_).freeze());
      start_.reset();
    }
  }
  ++next_;
  return {Verdict::accepted, ""};
}

std::optional<std::string> FrameReceiver::flaw_of(const wire::MessageStart& start) const {
  if (start.payload_bytes <= message_limit_) return std::nullopt;
  return fmt::format("a message of {} bytes, at most {} allowed", start.payload_bytes,
                     message_limit_);
}

std::optional<std::string> FrameReceiver::begin(const wire::MessageStart& start) {
  if (auto flaw = flaw_of(start)) return flaw;
  start_ = start;
  assembly_ = wire::MutableBuffer(std::min<std::size_t>(start.payload_bytes, kFirstAssemblyBytes));
  assembled_ = 0;
  return std::nullopt;
}

// A peer's word for a message's size is not worth a gigabyte. Where it is true, each byte is
// copied once more at most.
void FrameReceiver::make_room(std::size_t bytes) {
  if (bytes <= assembly_.size()) return;
  wire::MutableBuffer larger(
      std::min<std::size_t>(start_->payload_bytes, std::max(bytes, 2 * assembly_.size())));
  std::memcpy(larger.data(), assembly_.data(), assembled_);
  assembly_ = std::move(larger);
}

void FrameReceiver::finish(wire::MessageStart start, wire::Buffer payload) {
  held_cost_ += message_cost(payload.size());
  complete_.push_back(
      {.name = start.name, .tensor = std::move(start.tensor), .payload = std::move(payload)});
}

std::optional<wire::Message> FrameReceiver::take() {
  if (complete_.empty()) return std::nullopt;
  wire::Message message = std::move(complete_.front());
  complete_.pop_front();
  return message;
}

void FrameReceiver::consumed(std::uint64_t cost) { held_cost_ -= std::min(cost, held_cost_); }

std::uint64_t FrameReceiver::grantable() const {
  return std::max(granted_, arrived_cost_ + window_ - std::min(held_cost_ + ahead_cost_, window_));
}

bool FrameReceiver::report_is_urgent() const { return grantable() - granted_ >= window_ / 4; }

wire::Received FrameReceiver::report() {
  granted_ = grantable();
  return {.next = next_, .credit_limit = granted_};
}

}  // namespace ptrain::net
