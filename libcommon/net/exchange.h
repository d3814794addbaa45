// Where the application's threads and the network thread meet.
//
// Messages out, messages in, and what is known about each peer, behind one lock
// that is never held while anything waits or copies payloads. The application is
// woken through a condition variable, the network thread through an eventfd
// that it polls together with its sockets: nobody polls in intervals.
//
// Peers that are there from start to end are waited for with receive(), which throws when
// one of them is lost; peers that come and go with next_event(), which reports it.

#pragma once

#include <array>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/base/error.h"
#include "libcommon/net/endpoint.h"
#include "libcommon/net/peer_event.h"
#include "libcommon/net/route.h"
#include "libcommon/net/session.h"
#include "libcommon/net/traffic.h"
#include "libcommon/os/file_descriptor.h"
#include "libcommon/wire/message.h"

namespace ptrain::net {

// What the network thread last said about a peer.
struct PeerStatus {
  Session::State state = Session::State::waiting;
  std::optional<Error> failure;
  std::optional<Error> hopeless;  // it cannot be connected to, ever, in this configuration
  std::string last_attempt;       // why the last attempt to connect failed
  bool drained = false;
  std::uint64_t acknowledged_cost = 0;  // of all messages taken from the application
  Traffic traffic;

  bool lost() const {
    return failure || hopeless || state == Session::State::departed ||
           state == Session::State::failed;
  }
};

// What the application asks of the network thread.
struct Orders {
  std::vector<std::pair<PeerHandle, Endpoint>> dial;
  std::vector<std::pair<PeerHandle, wire::Message>> outgoing;
  std::map<PeerHandle, std::array<std::uint64_t, wire::kChannels>> consumed_cost;
  std::vector<std::pair<PeerHandle, std::string>> dismiss;  // and why
  std::vector<PeerHandle> forget;
  std::optional<PathKinds> allow;
  bool settle = false;
  std::optional<std::string> goodbye;  // empty: all is well; otherwise why we failed
  bool stop = false;
};

struct ExchangeLimits {
  std::uint64_t queue = 0;       // cost that may wait for one peer
  std::uint64_t wake_after = 0;  // consumed cost that is worth waking the network thread for
  std::uint64_t low_water = 0;   // next_event() returns when a queue falls to it
};

class Exchange {
 public:
  explicit Exchange(ExchangeLimits limits);

  // ---- For the application; any thread.
  void post(PeerHandle to, wire::Message message);
  // As post(), but false where the peer is gone.
  bool try_post(PeerHandle to, wire::Message message);
  std::optional<PeerMessage> receive(Duration timeout);
  // nullopt also when a queue has fallen to low_water.
  std::optional<PeerEvent> next_event(Duration timeout);
  PeerStatus status(PeerHandle peer) const;
  Traffic traffic(PeerHandle peer) const;  // zeros of a peer that is gone
  std::uint64_t queued_cost(PeerHandle peer) const;
  void order_dial(PeerHandle peer, const Endpoint& endpoint, std::string name);
  void order_dismissal(PeerHandle peer, std::string why);
  void order_forget(PeerHandle peer);
  void order_allow(PathKinds kinds);
  void order_settle();
  void order_goodbye(std::string reason);
  void order_stop();
  // Waits until `done` holds of every peer or the time is over; false if it is over.
  bool wait(Duration timeout, bool (*done)(const PeerStatus&)) const;

  // ---- For the network thread.
  int wake_fd() const { return wake_.get(); }
  Orders take_orders();
  void add(PeerHandle peer, std::string name);
  void deliver(PeerHandle from, wire::Message message);
  void publish(PeerHandle peer, PeerStatus status);
  // The network thread ends with this error; every wait ends with it too.
  void collapse(Error error);

 private:
  struct PeerBooks {
    std::string name;
    PeerStatus status;
    std::uint64_t posted_cost = 0;
    std::uint64_t queued_cost() const { return posted_cost - status.acknowledged_cost; }
  };
  const PeerBooks& books(PeerHandle peer) const;
  PeerBooks& books(PeerHandle peer);
  void enqueue(PeerHandle to, PeerBooks& peer, wire::Message message);
  void wake();
  std::optional<PeerMessage> pop_message();
  std::optional<PeerEvent> pop_event();
  void forget(PeerHandle peer);
  void throw_if_lost() const;

  const ExchangeLimits limits_;
  os::FileDescriptor wake_;

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::map<PeerHandle, PeerBooks> peers_;
  Orders orders_;
  std::uint64_t consumed_since_orders_ = 0;
  std::array<std::deque<PeerMessage>, wire::kChannels> inbox_;
  std::deque<PeerHandle> joined_;
  std::deque<PeerHandle> lost_;
  bool room_again_ = false;
  std::optional<Error> collapsed_;
};

}  // namespace ptrain::net
