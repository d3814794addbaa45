#include "libcommon/net/frame_sender.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "libcommon/wire/checksum.h"

namespace ptrain::net {

FrameSender::FrameSender(wire::Channel channel, std::uint64_t keep_limit)
    : channel_(channel), keep_limit_(keep_limit) {}

void FrameSender::push(wire::Message message) {
  queued_cost_ += message_cost(message.payload.size());
  waiting_.push_back(std::move(message));
}

std::uint64_t FrameSender::next_cost() const {
  const std::size_t rest = waiting_.front().payload.size() - cut_bytes_;
  return frame_cost(std::min(rest, wire::kMaxFrameBytes));
}

bool FrameSender::ready() const {
  if (cursor_ < numbered()) return true;  // paid for when it was cut
  if (waiting_.empty()) return false;
  const std::uint64_t cost = next_cost();
  return cut_cost_ + cost <= credit_limit_ && kept_cost_ + cost <= keep_limit_;
}

wire::Data FrameSender::next() {
  if (cursor_ == numbered()) {
    const std::uint64_t cost = next_cost();
    cut_cost_ += cost;
    kept_cost_ += cost;
    kept_.push_back(cut());
  }
  return kept_[cursor_++ - first_];
}

wire::Data FrameSender::cut() {
  wire::Message& message = waiting_.front();
  wire::Data frame;
  frame.channel = channel_;
  frame.sequence = numbered();
  if (!front_started_) {
    frame.start = wire::MessageStart{
        .name = message.name, .tensor = message.tensor, .payload_bytes = message.payload.size()};
    front_started_ = true;
  }
  const std::size_t rest = message.payload.size() - cut_bytes_;
  const std::size_t bytes = std::min(rest, wire::kMaxFrameBytes);
  frame.payload = message.payload.slice(cut_bytes_, bytes);
  frame.checksum = wire::checksum(frame.payload.bytes());
  cut_bytes_ += bytes;
  if (cut_bytes_ == message.payload.size()) {
    waiting_.pop_front();
    cut_bytes_ = 0;
    front_started_ = false;
  }
  return frame;
}

std::optional<std::string> FrameSender::acknowledge(const wire::Received& received) {
  if (received.next > numbered()) {
    return fmt::format("frame {} of the {} channel acknowledged, only {} were sent", received.next,
                       wire::name_of(channel_), numbered());
  }
  while (first_ < received.next) {
    const std::uint64_t cost = frame_cost(kept_.front().payload.size());
    kept_cost_ -= cost;
    queued_cost_ -= cost;
    kept_.pop_front();
    ++first_;
  }
  cursor_ = std::max(cursor_, first_);
  credit_limit_ = std::max(credit_limit_, received.credit_limit);
  return std::nullopt;
}

void FrameSender::resend_from(std::uint64_t sequence) {
  cursor_ = std::clamp(sequence, first_, cursor_);
}

}  // namespace ptrain::net
