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

FrameReceiver::FrameReceiver(wire::Channel channel, std::uint64_t credit_window,
                             std::uint64_t message_limit)
    : channel_(channel),
      window_(credit_window),
      message_limit_(message_limit),
      granted_(credit_window) {}

FrameReceiver::Outcome FrameReceiver::breach(std::string why) const {
  return {Verdict::breach,
          fmt::format("frame {} of the {} channel: {}", next_, wire::name_of(channel_), why)};
}

FrameReceiver::Outcome FrameReceiver::accept(wire::Data frame) {
  if (frame.sequence < next_) return {Verdict::duplicate, ""};
  if (frame.sequence > next_) {
    // The frames behind the hole keep coming for a while: ask once.
    missing_ = missing_ || asked_for_ != next_;
    asked_for_ = next_;
    return {Verdict::missing, ""};
  }
  if (wire::checksum(frame.payload.bytes()) != frame.checksum) {
    if (++damaged_in_a_row_ >= kMaxDamagedInARow) {
      return breach(fmt::format("its checksum was wrong {} times in a row", damaged_in_a_row_));
    }
    missing_ = true;
    asked_for_ = next_;
    return {Verdict::missing, ""};
  }
  const std::uint64_t cost = frame_cost(frame.payload.size());
  if (arrived_cost_ + cost > granted_) {
    return breach(
        fmt::format("{} bytes beyond the credit of {}", arrived_cost_ + cost - granted_, granted_));
  }
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
    if (frame.payload.size() > assembly_.size() - assembled_) {
      return breach(fmt::format("a message of {} bytes goes on beyond its end", assembly_.size()));
    }
    if (!frame.payload.empty()) {
      std::memcpy(assembly_.data() + assembled_, frame.payload.data(), frame.payload.size());
    }
    assembled_ += frame.payload.size();
    if (assembled_ == assembly_.size()) {
      finish(std::move(*start_), std::move(assembly_).freeze());
      start_.reset();
    }
  }
  arrived_cost_ += cost;
  ++next_;
  damaged_in_a_row_ = 0;
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
  assembly_ = wire::MutableBuffer(start.payload_bytes);
  assembled_ = 0;
  return std::nullopt;
}

void FrameReceiver::finish(wire::MessageStart start, wire::Buffer payload) {
  held_cost_ += message_cost(payload.size());
  complete_.push_back(
      {.name = start.name, .tensor = std::move(start.tensor), .payload = std::move(payload)});
}

void FrameReceiver::peer_has_sent(std::uint64_t frames) {
  if (frames <= next_) return;
  missing_ = true;
  asked_for_ = next_;
}

std::optional<wire::Message> FrameReceiver::take() {
  if (complete_.empty()) return std::nullopt;
  wire::Message message = std::move(complete_.front());
  complete_.pop_front();
  return message;
}

void FrameReceiver::consumed(std::uint64_t cost) { held_cost_ -= std::min(cost, held_cost_); }

std::uint64_t FrameReceiver::grantable() const {
  return std::max(granted_, arrived_cost_ + window_ - std::min(held_cost_, window_));
}

bool FrameReceiver::report_is_urgent() const {
  return missing_ || grantable() - granted_ >= window_ / 4;
}

wire::Received FrameReceiver::report() {
  granted_ = grantable();
  return {.next = next_, .credit_limit = granted_, .missing = std::exchange(missing_, false)};
}

}  // namespace ptrain::net
