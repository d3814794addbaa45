// Where the two sides of a pairing meet: the first waits, the second makes it a stream, and
// then bytes flow both ways until both have ended, or a socket fails, or a limit or a lease
// says so.
//
// When there is no room for another connection, the source with the most loses one: one that waits,
// or else its latest stream (fair_share.h).
//
// Streams take turns of bounded size. Nothing is kept in this process for a receiver that is
// slow, and nobody else waits for it. One thread.

#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/os/file_descriptor.h"
#include "tools/relay/carrier/carrier_counters.h"
#include "tools/relay/carrier/peer_ledger.h"
#include "tools/relay/carrier/pipe_pool.h"
#include "tools/relay/carrier/poller.h"
#include "tools/relay/carrier/token_desk.h"

namespace ptrain::relay {

struct JunctionLimits {
  Duration wait_for_partner = std::chrono::seconds(60);
  Duration idle = std::chrono::minutes(5);  // sessions say something every few seconds
  Duration life = std::chrono::hours(24);
  // After so long without an acknowledgement of what was sent, the peer is gone.
  std::chrono::milliseconds unacknowledged{30'000};
};

// What a stream moves each way before the next has its turn.
inline constexpr std::size_t kTurnBytes = kPipeBytes;
// Pipes that are kept for all streams together.
inline constexpr std::size_t kIdlePipes = 16;
// A stream that finds no pipe, because the process has no descriptors left, tries again then.
inline constexpr Duration kPipeRetry = std::chrono::milliseconds(20);

class Junction {
 public:
  // The references outlive the object.
  Junction(JunctionLimits limits, Poller& poller, PeerLedger& ledger, CarrierCounters& counters,
           const Clock& clock);
  ~Junction();

  // Someone with that seat has come. A stream, or a wait, of the same seat ends.
  void arrive(os::FileDescriptor socket, const Seat& seat, const SourceAddress& source);
  // Every stream that one of them is a side of ends.
  void revoke(const std::vector<Member>& members);

  // A turn for each stream that can move bytes.
  void round(TimePoint now);
  // Ends what took too long.
  void tick(TimePoint now);
  void cut_waiting();
  // Ends everything.
  void close();

  // Until when nothing needs round(), events apart.
  TimePoint next_round() const;
  bool has_streams() const;

 private:
  class Party;
  struct Pair;
  using Pairs = std::map<Pairing, Pair>;

  void on_party_events(Party& party, std::uint32_t events);
  void join(Pair& pair, TimePoint now);
  void take_turn(Pair& pair, TimePoint now);
  void queue(Pair& pair);
  void leave(Pair& pair, Side side);
  void make_room_for(const SourceAddress& source);
  void cut(Pair& pair);

  JunctionLimits limits_;
  Poller& poller_;
  PeerLedger& ledger_;
  CarrierCounters& counters_;
  const Clock& clock_;
  PipePool pipes_;
  Pairs pairs_;
  // The pairs that each source has a side of, those that wait first, then the latest first.
  using Order = std::tuple<bool, std::int64_t, Pair*>;
  std::map<SourceAddress, std::set<Order>> of_source_;
  std::int64_t arrivals_ = 0;
  std::deque<Pair*> ready_;
  std::set<std::pair<TimePoint, Pair*>> held_;  // by a rate, or for want of a pipe
};

}  // namespace ptrain::relay
