// The sending half of one urgency of a session. Pure: messages in, frames out.
//
// Cuts messages into numbered frames as credit allows, the lowest rank first, keeps what has not
// arrived, and sends again what was on a connection that broke. Payloads are shared, not copied.
// What it keeps is bounded by the credit that the peer gives.

#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "libcommon/net/credit.h"
#include "libcommon/net/link_id.h"
#include "libcommon/wire/frame.h"

namespace ptrain::net {

// Among messages of one urgency, lower ones go first; equal ones in the order of sending.
using Rank = std::uint32_t;

class FrameSender {
 public:
  // `keep_limit`: cost of frames that are kept, whatever the peer allows.
  FrameSender(wire::Urgency urgency, std::uint64_t keep_limit);

  void push(wire::Message message, Rank rank = 0);

  // Whether there is a frame that may go now.
  bool ready() const;
  // The next frame, a lost or a new one, to be put on `link`. Precondition: ready().
  wire::Data next(LinkId link);

  // The peer has frame `sequence`, whatever becomes of those before it.
  void arrived(std::uint64_t sequence);
  // What was on `link` will not arrive: send it again, unless it is on another one by now.
  void lost(std::uint64_t sequence, LinkId link);
  // Forgets what has arrived and takes the new credit; an older report changes nothing.
  // A report of frames that were never sent is a breach, returned as its description.
  std::optional<std::string> acknowledge(const wire::Received& received);

  std::uint64_t acknowledged() const { return first_; }             // all before it have arrived
  std::uint64_t numbered() const { return first_ + kept_.size(); }  // frames cut so far
  bool all_cut() const { return waiting_.empty() && !cutting_; }
  bool all_acknowledged() const { return all_cut() && kept_.empty(); }
  std::uint64_t queued_cost() const { return queued_cost_; }  // pushed, not yet acknowledged

 private:
  struct Kept {
    wire::Data frame;
    LinkId link;
    bool arrived = false;
  };
  wire::Data cut();
  std::uint64_t next_cost() const;
  Kept* find(std::uint64_t sequence);

  wire::Urgency urgency_;
  std::uint64_t keep_limit_;
  std::map<std::pair<Rank, std::uint64_t>, wire::Message> waiting_;
  std::uint64_t pushed_ = 0;
  std::optional<wire::Message> cutting_;  // once begun, a message goes on to its end
  std::size_t cut_bytes_ = 0;
  std::deque<Kept> kept_;         // frames first_, first_ + 1, ...
  std::set<std::uint64_t> lost_;  // of them, to be sent again
  std::uint64_t first_ = 0;
  std::uint64_t credit_limit_ = 0;
  std::uint64_t cut_cost_ = 0;   // of all frames ever cut: what credit_limit_ bounds
  std::uint64_t kept_cost_ = 0;  // of kept_
  std::uint64_t queued_cost_ = 0;
};

}  // namespace ptrain::net
