// The sums over lanes of one member, one after the other, on a thread of their own.
//
// Whoever reads the node's events hands over what is of a sum, and goes on; whoever has a vector
// orders its sum, goes on computing, and waits for it later. All members order the same sums, in
// the order of their numbers. What comes of a sum that is not ordered here yet keeps its credit
// until it is, so a member that is ahead waits instead of filling our memory; of one that is under
// way each part's credit ends as soon as it was added.
//
// A member is done with a sum before it sends anything of the next one, so what we hold back never
// stands in front of what we need.
//
// The first failure ends all sums, those to come too: a part that is refused (Error(corrupt), which
// names the member), a member that is lost or cannot be sent to while something of it is missing
// (Error(unavailable)), a sum that is not finite. Then new sums need a new object, with larger
// numbers, so that what is still on its way is recognised and dropped.
//
// Owns its thread. Borrows the carrier, and of each order the residuals and all memory, until the
// sum was waited for or this has gone. It goes before the node whose credits it may hold. Any
// thread may call anything.

#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/base/error.h"
#include "libcommon/base/units.h"
#include "libcommon/lanes/carrier.h"
#include "libcommon/net/node_event.h"
#include "libcommon/reduce/all_reduce.h"
#include "libcommon/reduce/part_message.h"
#include "libcommon/wire/message.h"

namespace ptrain::lanes {

struct SumOrder {
  reduce::SumId id;
  reduce::ReducePlan plan;
  reduce::Residuals* residuals = nullptr;  // of this member, as the plan's places_in_sums() say
  std::vector<reduce::LaneValues> lanes;   // ours
  std::span<float> sum;                    // where it goes; may be one of them
};

// What a sum took here.
struct SumFigures {
  Duration took{};  // since it was begun: after the one before, and no earlier than ordered
  Duration
      idle{};  // of it, with nothing to add or to send: others, or the lines to them, were slower
  ByteCount tx_bytes;  // of encoded numbers
  ByteCount rx_bytes;
};

class LaneSums {
 public:
  LaneSums(reduce::MemberIndex self, Carrier& carrier, const Clock& clock);
  // Sums that are not done are given up.
  ~LaneSums();
  LaneSums(const LaneSums&) = delete;
  LaneSums& operator=(const LaneSums&) = delete;

  // Throws Error(internal) unless it has residuals and a larger number than those before.
  void order(SumOrder order);
  // A message of kind reduce_part or reduce_bytes, from one of the members of all plans.
  void arrived(reduce::MemberIndex from, wire::Message message, net::Credit credit);
  // Nothing more comes of it, after all that was handed over before.
  void lost(reduce::MemberIndex member, std::string why);

  // Of a sum that was ordered, once. nullopt: it is not done in time. Throws what ended it.
  std::optional<SumFigures> wait(reduce::SumId id, Duration timeout);
  // Of whom something is missing, as of the last time that there was nothing to do. For people.
  std::vector<reduce::MemberIndex> awaited() const;

 private:
  class Outgoing;
  struct Letter {
    reduce::MemberIndex from;
    wire::Message message;
    net::Credit credit;
    std::optional<std::string> loss{};  // instead of a message
  };
  struct EarlyPart {
    reduce::MemberIndex from;
    reduce::SumPart part;
    net::Credit credit;
  };
  struct Sum;  // the one under way

  void run();
  void begin(SumOrder order);
  void handle(Letter letter);
  void take(reduce::MemberIndex from, reduce::SumPart part, net::Credit credit);
  bool advance();
  void finish();
  void check_losses() const;
  void fail(const Error& error);
  std::string name_of(reduce::MemberIndex member) const;

  const reduce::MemberIndex self_;
  Carrier& carrier_;
  const Clock& clock_;

  // Of our thread alone.
  std::unique_ptr<Sum> sum_;
  std::optional<reduce::SumId> last_done_;
  std::map<reduce::MemberIndex, reduce::PartReader> readers_;
  std::map<reduce::MemberIndex, std::string> lost_;  // and why
  std::deque<EarlyPart> early_;                      // of sums that are not begun

  mutable std::mutex mutex_;  // of what is below
  std::condition_variable work_came_;
  std::condition_variable something_ended_;
  std::deque<Letter> inbox_;
  std::deque<SumOrder> orders_;
  std::optional<reduce::SumId> last_ordered_;
  std::map<reduce::SumId, SumFigures> done_;  // and not waited for
  std::vector<reduce::MemberIndex> awaited_;
  std::optional<Error> failure_;
  bool ending_ = false;

  std::thread thread_;  // last: it uses the members above
};

}  // namespace ptrain::lanes
