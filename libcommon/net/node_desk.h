// Where the application's threads and a node's loop meet.
//
// Messages in, what is known about each peer, and what the application asks for, behind one lock
// that is never held while anything waits or copies payloads. The application is woken through a
// condition variable, the loop by what is posted to it: nobody polls in intervals.

#pragma once

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/base/error.h"
#include "libcommon/net/node.h"
#include "libcommon/net/peer_handle.h"
#include "libcommon/wire/message.h"

namespace ptrain::net {

// What the loop is asked to do, and has not been yet.
struct Orders {
  struct Message {
    PeerHandle to;
    wire::Urgency urgency;
    Rank rank;
    wire::Message message;
  };
  std::vector<std::function<void()>> first;  // peers that messages may go to
  std::vector<Message> outgoing;
  std::map<PeerHandle, std::array<std::uint64_t, wire::kUrgencies>> consumed_cost;
  std::vector<PeerHandle> forget;
  std::vector<std::function<void()>> last;
};

struct DeskLimits {
  std::uint64_t queue = 0;       // cost that may wait for one peer
  std::uint64_t queues = 0;      // and for all, besides kQueueShare of each
  std::uint64_t wake_after = 0;  // consumed cost that is worth waking the loop for
  std::uint64_t low_water = 0;   // Room follows when a queue falls to it
};

class NodeDesk {
 public:
  // `wake` makes the loop take its orders; it is called under the lock.
  NodeDesk(DeskLimits limits, std::function<void()> wake);

  // ---- For the application; any thread.
  // The number by which the loop knows a peer that nobody has a number for.
  PeerHandle add(const WorkerId& peer);
  void add(const WorkerId& peer, PeerHandle handle);
  // To be done by the loop, before what is sent from now on, or after what was sent until now.
  void order_first(std::function<void()> order);
  void order_last(std::function<void()> order);
  std::optional<PeerHandle> handle_of(const WorkerId& peer) const;
  // No event of it follows.
  void forget(PeerHandle peer);
  bool send(const WorkerId& to, wire::Urgency urgency, wire::Message message, Rank rank);
  std::optional<NodeEvent> next(Duration timeout);
  std::optional<PeerStatus> status(const WorkerId& peer) const;
  std::uint64_t queued_cost(const WorkerId& peer) const;
  bool wait(Duration timeout, bool (*done)(const PeerStatus&)) const;
  // Those that were forgotten, too.
  bool wait_until_drained(Duration timeout) const;

  // ---- For the loop.
  Orders take_orders();
  void delivered(PeerHandle from, wire::Urgency urgency, wire::Message message);
  void published(PeerHandle peer, const PeerStatus& status);
  void gone(PeerHandle peer);  // that was to be forgotten
  // A member of the run is registered with relays, or is not any more.
  void told_of(const WorkerId& id, bool there);
  // The loop ends with this error; every wait ends with it too.
  void collapse(Error error);

 private:
  struct Arrived {
    PeerHandle from;
    std::uint64_t losses;  // of its predecessors
    wire::Message message;
  };
  struct Books {
    WorkerId id;
    PeerStatus status{};
    std::uint64_t posted_cost = 0;
    std::size_t messages = 0;  // of its in the inbox
    std::uint64_t losses = 0;  // so many processes of it have gone
    bool loss_untold = false;
    // Of its successor, to be told after that.
    bool successor_up = false;
    std::vector<std::pair<wire::Urgency, wire::Message>> of_successor{};

    std::uint64_t queued_cost() const {
      return posted_cost - std::min(posted_cost, status.acknowledged_cost);
    }
  };
  struct Member {
    bool told = false;  // that it is there
    bool there = false;
  };
  struct Loss {
    PeerHandle peer;
    net::Loss why;
    std::optional<Error> error;
  };
  // What a process that has gone sent ahead is no credit for its successor.
  void consumed(PeerHandle peer, std::uint64_t losses, wire::Urgency urgency, std::uint64_t cost);
  void wake_for_orders();
  std::optional<NodeEvent> pop();
  Up pop_up();
  Delivery pop_message(wire::Urgency urgency);
  Down pop_down(std::deque<Loss>::iterator at);
  NodeEvent pop_news();
  void order_forgotten(PeerHandle peer);
  void enter(PeerHandle from, Books& books, wire::Urgency urgency, wire::Message message);
  void lose(PeerHandle peer, Books& books);
  void erase(PeerHandle peer);
  bool has_room(const Books& books, std::uint64_t cost) const;
  bool tell_of_room();
  std::uint64_t queued_for_all() const;

  const DeskLimits limits_;
  const std::function<void()> wake_;

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::map<PeerHandle, Books> peers_;
  std::map<WorkerId, PeerHandle> handles_;
  std::set<PeerHandle> forgotten_;  // and not gone yet
  std::uint64_t handles_given_ = 0;
  Orders orders_;
  bool woken_ = false;
  std::uint64_t consumed_since_orders_ = 0;
  std::array<std::deque<Arrived>, wire::kUrgencies> inbox_;
  std::deque<PeerHandle> up_;
  std::deque<Loss> down_;
  std::deque<PeerHandle> room_;
  std::set<PeerHandle> refused_;        // whose queue had no room, and Room has not followed
  std::map<WorkerId, Member> members_;  // of the run
  std::set<WorkerId> news_;             // of whom the application has not been told the latest
  std::optional<Error> collapsed_;
};

}  // namespace ptrain::net
