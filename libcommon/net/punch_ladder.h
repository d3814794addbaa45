// One attempt to make a connection with another's hole: which of its addresses is tried when, and
// what has come of each. Pure.
//
// All of them begin together, for two NATs let each other's first packets in only when both sides
// have sent theirs. What is refused is
// tried again: the other side may be a moment later. What is not answered stands until the end, and
// the kernel repeats its packet. The attempt ends when a connection is chosen, or its time is over.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/net/punch_candidates.h"

namespace ptrain::net {

inline constexpr Duration kPunchTime = std::chrono::milliseconds(3500);  // two repetitions of a SYN
inline constexpr int kMostPunchTries = 4;                                // of one address
inline constexpr Duration kFirstPunchRetry = std::chrono::milliseconds(100);  // then twice as long

class PunchLadder {
 public:
  enum class Outcome : std::uint8_t {
    waits,      // not begun
    tried,      // nobody has answered yet
    connected,  // somebody has answered, and is being greeted
    silent,     // nobody answered in time
    refused,    // by a host that has nobody there, or by a router
    unreachable,
    stranger,  // who answers is somebody else
    passed,    // it is the peer; another connection was better
    chosen,
  };
  struct Rung {
    PunchTarget target;
    Outcome outcome = Outcome::waits;
    std::string why{};  // of a failure, in the system's words
    int tries = 0;
    TimePoint next_try{};
    std::optional<TimePoint> decided_at{};
  };

  PunchLadder(std::vector<PunchTarget> targets, TimePoint begin);

  // Those to connect to now; each is tried by that.
  std::vector<std::size_t> take_due(TimePoint now);
  void connected(std::size_t rung);
  void failed(std::size_t rung, Outcome outcome, std::string why, TimePoint now);
  // It is the one; the others, where they were being greeted, are passed.
  void chose(std::size_t rung, TimePoint now);
  // Another way has led there: the peer came to us.
  void end(TimePoint now);

  bool over(TimePoint now) const { return ended_ || now >= begin_ + kPunchTime; }
  TimePoint next_tick() const;
  TimePoint begin() const { return begin_; }
  const std::vector<Rung>& rungs() const { return rungs_; }

 private:
  std::vector<Rung> rungs_;
  TimePoint begin_;
  bool ended_ = false;
};

std::string_view name_of(PunchLadder::Outcome outcome);

}  // namespace ptrain::net
