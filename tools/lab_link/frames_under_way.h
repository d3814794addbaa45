// The frames that are on one direction of a link, in the order of their arrival. They take memory,
// which is limited: a caller asks for room before it adds. One thread.

#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "libcommon/base/clock.h"

namespace ptrain::lab_link {

// A gigabit a second for two seconds.
constexpr std::size_t kMostBytesUnderWay = 256u << 20;

class FramesUnderWay {
 public:
  explicit FramesUnderWay(std::size_t most_bytes = kMostBytesUnderWay) : most_bytes_(most_bytes) {}

  bool has_room_for(std::size_t bytes) const { return bytes <= most_bytes_ - bytes_; }
  // Precondition: there is room, and the frame arrives no sooner than the ones before it.
  void add(TimePoint arrival, std::span<const std::byte> frame) {
    frames_.push_back({arrival, {frame.begin(), frame.end()}});
    bytes_ += frame.size();
  }

  std::optional<TimePoint> next_arrival() const {
    if (frames_.empty()) return std::nullopt;
    return frames_.front().arrival;
  }
  // Precondition: there is a next arrival.
  std::vector<std::byte> take_next() {
    std::vector<std::byte> frame = std::move(frames_.front().bytes);
    frames_.pop_front();
    bytes_ -= frame.size();
    return frame;
  }

 private:
  struct Frame {
    TimePoint arrival;
    std::vector<std::byte> bytes;
  };

  std::size_t most_bytes_;
  std::size_t bytes_ = 0;
  std::deque<Frame> frames_;
};

}  // namespace ptrain::lab_link
