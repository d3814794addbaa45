// The receiving half of one channel of a session. Pure: frames in, messages out.
//
// Accepts each frame once and in order, verifies its checksum, puts messages
// together in memory of their final size, and says how much more may come. A
// large message of one frame stays in the frame's memory, where that is aligned for
// numbers. A frame lies in memory at most once: the credit that it grants is the window
// less what the application has not consumed, so a slow application holds at
// most one window and one message, whatever the peer would like to send.

#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "libcommon/net/credit.h"
#include "libcommon/wire/frame.h"

namespace ptrain::net {

// A frame that arrives damaged this often in a row will not get better.
inline constexpr int kMaxDamagedInARow = 8;
// From this size on, a message that came in one frame is not copied. Smaller ones may share a
// buffer of libzmq's (8 KiB) with others, which they would keep.
inline constexpr std::size_t kKeptFrameBytes = 64u << 10;

class FrameReceiver {
 public:
  enum class Verdict {
    accepted,
    duplicate,  // it was here before
    missing,    // one before it has not arrived, or it came damaged: the peer is asked again
    breach,     // the peer breaks the protocol, or the memory of one side is broken
  };
  struct Outcome {
    Verdict verdict;
    std::string why;  // of a breach
  };

  // Precondition: credit_window >= kMinCreditWindow.
  FrameReceiver(wire::Channel channel, std::uint64_t credit_window, std::uint64_t message_limit);

  Outcome accept(wire::Data frame);
  // The peer says that it has sent `frames` frames over the path that this comes from.
  void peer_has_sent(std::uint64_t frames);

  // The next complete message; its cost stays on the books until consumed().
  std::optional<wire::Message> take();
  void consumed(std::uint64_t cost);

  // What to tell the peer; a missing frame is reported once each time it is noticed.
  wire::Received report();

  std::uint64_t next() const { return next_; }
  bool report_is_urgent() const;  // something is missing, or the peer may be out of credit

 private:
  Outcome breach(std::string why) const;
  std::optional<std::string> flaw_of(const wire::MessageStart& start) const;
  std::optional<std::string> begin(const wire::MessageStart& start);
  void finish(wire::MessageStart start, wire::Buffer payload);
  std::uint64_t grantable() const;

  wire::Channel channel_;
  std::uint64_t window_;
  std::uint64_t message_limit_;
  std::uint64_t next_ = 0;
  std::uint64_t arrived_cost_ = 0;          // of all accepted frames
  std::uint64_t held_cost_ = 0;             // of complete messages that are not consumed
  std::uint64_t granted_ = 0;               // the limit last reported
  bool missing_ = false;                    // to be reported
  std::optional<std::uint64_t> asked_for_;  // the frame that was last found missing
  int damaged_in_a_row_ = 0;

  std::optional<wire::MessageStart> start_;  // of the message under assembly
  wire::MutableBuffer assembly_;
  std::size_t assembled_ = 0;
  std::deque<wire::Message> complete_;
};

}  // namespace ptrain::net
