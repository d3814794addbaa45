// The receiving half of one urgency of a session. Pure: frames in, messages out.
//
// Takes each frame once, from whichever connection, puts them back into order, verifies their
// checksums, puts messages together, and says how much more may come. A
// large message of one frame stays in the frame's memory, where that is aligned for
// numbers. The credit that it grants is the window less what the application has not consumed, and
// what came ahead of its turn was paid for with the same credit: a slow application, or a hole that
// is not filled, hold at most one window and one message, whatever the peer would like to send.

#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>

#include "libcommon/net/credit.h"
#include "libcommon/wire/frame.h"

namespace ptrain::net {

// A frame that arrives damaged this often in a row will not get better.
inline constexpr int kMaxDamagedInARow = 8;
// What a message's beginning alone is given memory for; beyond, twice what has come.
inline constexpr std::size_t kFirstAssemblyBytes = 4u << 20;
// From this size on, a message that came in one frame is not copied. Smaller ones may share a
// buffer of libzmq's (8 KiB) with others, which they would keep.
inline constexpr std::size_t kKeptFrameBytes = 64u << 10;

class FrameReceiver {
 public:
  enum class Verdict {
    accepted,
    duplicate,  // it was here before
    damaged,    // its connection is of no more use
    breach,     // the peer breaks the protocol, or the memory of one side is broken
  };
  struct Outcome {
    Verdict verdict;
    std::string why;  // of a breach
  };

  // Precondition: credit_window >= kMinCreditWindow.
  FrameReceiver(wire::Urgency urgency, std::uint64_t credit_window, std::uint64_t message_limit);

  Outcome accept(wire::Data frame);

  // The next complete message; its cost stays on the books until consumed().
  std::optional<wire::Message> take();
  void consumed(std::uint64_t cost);

  // What to tell the peer.
  wire::Received report();

  std::uint64_t next() const { return next_; }
  bool report_is_urgent() const;  // the peer may be out of credit

 private:
  Outcome breach(std::string why) const;
  Outcome append(wire::Data frame);
  std::optional<std::string> flaw_of(const wire::MessageStart& start) const;
  std::optional<std::string> begin(const wire::MessageStart& start);
  void make_room(std::size_t bytes);
  void finish(wire::MessageStart start, wire::Buffer payload);
  std::uint64_t grantable() const;

  wire::Urgency urgency_;
  std::uint64_t window_;
  std::uint64_t message_limit_;
  std::uint64_t next_ = 0;
  std::uint64_t arrived_cost_ = 0;  // of all frames that were taken, those ahead of their turn too
  std::uint64_t held_cost_ = 0;     // of complete messages that are not consumed
  std::uint64_t granted_ = 0;       // the limit last reported
  int damaged_in_a_row_ = 0;
  std::map<std::uint64_t, wire::Data> ahead_;  // of their turn
  std::uint64_t ahead_cost_ = 0;

  std::optional<wire::MessageStart> start_;  // of the message under assembly
  wire::MutableBuffer assembly_;             // as large as the message, or as there was reason for
  std::size_t assembled_ = 0;
  std::deque<wire::Message> complete_;
};

}  // namespace ptrain::net
