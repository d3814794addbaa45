// The sending half of one channel of a session. Pure: messages in, frames out.
//
// Cuts messages into numbered frames as credit allows, keeps what is not yet
// acknowledged, and goes back to it when a path was lost. Payloads are shared,
// not copied. What it keeps is bounded by the credit that the peer gives.

#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "libcommon/net/credit.h"
#include "libcommon/wire/frame.h"

namespace ptrain::net {

class FrameSender {
 public:
  // `keep_limit`: cost of unacknowledged frames that are kept, whatever the peer allows.
  FrameSender(wire::Channel channel, std::uint64_t keep_limit);

  void push(wire::Message message);

  // Whether there is a frame that may go now.
  bool ready() const;
  // The next frame, a resent or a new one. Precondition: ready().
  wire::Data next();

  // Forgets what has arrived and takes the new credit; an older report changes nothing.
  // A report of frames that were never sent is a breach, returned as its description.
  std::optional<std::string> acknowledge(const wire::Received& received);
  // The next frame will be `sequence`, or the oldest kept one if that is later.
  void resend_from(std::uint64_t sequence);

  std::uint64_t cursor() const { return cursor_; }                  // the frame that comes next
  std::uint64_t acknowledged() const { return first_; }             // all before it have arrived
  std::uint64_t numbered() const { return first_ + kept_.size(); }  // frames cut so far
  bool under_way() const { return cursor_ > first_; }  // some were sent and not acknowledged
  bool all_cut() const { return waiting_.empty(); }
  bool all_acknowledged() const { return waiting_.empty() && kept_.empty(); }
  std::uint64_t queued_cost() const { return queued_cost_; }  // pushed, not yet acknowledged

 private:
  wire::Data cut();
  std::uint64_t next_cost() const;

  wire::Channel channel_;
  std::uint64_t keep_limit_;
  std::deque<wire::Message> waiting_;  // the front one may be partly cut
  std::size_t cut_bytes_ = 0;          // of the front one
  bool front_started_ = false;
  std::deque<wire::Data> kept_;  // frames first_, first_ + 1, ...
  std::uint64_t first_ = 0;
  std::uint64_t cursor_ = 0;
  std::uint64_t credit_limit_ = 0;
  std::uint64_t cut_cost_ = 0;   // of all frames ever cut: what credit_limit_ bounds
  std::uint64_t kept_cost_ = 0;  // of kept_
  std::uint64_t queued_cost_ = 0;
};

}  // namespace ptrain::net
