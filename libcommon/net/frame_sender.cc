#include "libcommon/net/frame_sender.h"

#include <algorithm>

#include <fmt/format.h>

#include "libcommon/wire/checksum.h"

namespace ptrain::net {

FrameSender::FrameSender(wire::Urgency urgency, std::uint64_t keep_limit)
    : urgency_(urgency), keep_limit_(keep_limit) {}

void FrameSender::push(wire::Message message, Rank rank) {
  queued_cost_ += message_cost(message.payload.size());
  waiting_.emplace(std::pair(rank, ++pushed_), std::move(message));
}

std::uint64_t FrameSender::next_cost() const {
  const wire::Message& message = cutting_ ? *cutting_ : waiting_.begin()->second;
  const std::size_t rest = message.payload.size() - (cutting_ ? cut_bytes_ : 0);
  return frame_cost(std::min(rest, wire::kMaxFrameBytes));
}

bool FrameSender::ready() const {
  if (!lost_.empty()) return true;  // paid for when it was cut
  if (all_cut()) return false;
  const std::uint64_t cost = next_cost();
  return cut_cost_ + cost <= credit_limit_ && kept_cost_ + cost <= keep_limit_;
}

wire::Data FrameSender::next(LinkId link) {
  if (!lost_.empty()) {
    Kept& again = *find(*lost_.begin());
    lost_.erase(lost_.begin());
    again.link = link;
    return again.frame;
  }
  const std::uint64_t cost = next_cost();
  cut_cost_ += cost;
  kept_cost_ += cost;
  kept_.push_back({.frame = cut(), .link = link});
  return kept_.back().frame;
}

wire::Data FrameSender::cut() {
  wire::Data frame;
  frame.urgency = urgency_;
  frame.sequence = numbered();
  if (!cutting_) {
    cutting_ = std::move(waiting_.extract(waiting_.begin()).mapped());
    cut_bytes_ = 0;
    frame.start = wire::MessageStart{.name = cutting_->name,
                                     .tensor = cutting_->tensor,
                                     .payload_bytes = cutting_->payload.size()};
  }
  const std::size_t rest = cutting_->payload.size() - cut_bytes_;
  const std::size_t bytes = std::min(rest, wire::kMaxFrameBytes);
  frame.payload = cutting_->payload.slice(cut_bytes_, bytes);
  frame.checksum = wire::checksum(frame.payload.bytes());
  cut_bytes_ += bytes;
  if (cut_bytes_ == cutting_->payload.size()) cutting_.reset();
  return frame;
}

FrameSender::Kept* FrameSender::find(std::uint64_t sequence) {
  if (sequence < first_ || sequence >= numbered()) return nullptr;
  return &kept_[sequence - first_];
}

void FrameSender::arrived(std::uint64_t sequence) {
  Kept* frame = find(sequence);
  if (frame == nullptr) return;
  frame->arrived = true;
  lost_.erase(sequence);
}

void FrameSender::lost(std::uint64_t sequence, LinkId link) {
  const Kept* frame = find(sequence);
  if (frame == nullptr || frame->arrived || frame->link != link) return;
  lost_.insert(sequence);
}

std::optional<std::string> FrameSender::acknowledge(const wire::Received& received) {
  if (received.next > numbered()) {
    return fmt::format("frame {} of urgency {} acknowledged, only {} were sent", received.next,
                       wire::name_of(urgency_), numbered());
  }
  while (first_ < received.next) {
    const std::uint64_t cost = frame_cost(kept_.front().frame.payload.size());
    kept_cost_ -= cost;
    queued_cost_ -= cost;
    kept_.pop_front();
    lost_.erase(first_);
    ++first_;
  }
  credit_limit_ = std::max(credit_limit_, received.credit_limit);
  return std::nullopt;
}

}  // namespace ptrain::net
