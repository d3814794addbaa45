// All sessions of a process with other processes.
//
// A node owns one thread, which runs an event loop and alone touches sockets; every public function
// may be called from any thread, and none waits for the network but next() and close(), each of
// them bounded. Messages arrive exactly once, and in order among those of one urgency of one peer,
// whatever happens to the connections underneath (ptrain-net(7)).
//
// A peer is a WorkerId. Nothing that a peer does is an error here: what becomes of it is an event,
// and send() never throws. Every Credit must end before the node does. What one peer costs is
// bounded by the credit window and by what is sent to it, and what all of them may send ahead by
// `receive_limit`.
//
// A node may be given what it stands on instead: then it has no thread, all of it happens on the
// one that runs the loop, and no function waits, whatever its timeout. So many nodes live on
// virtual time.

#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/base/log.h"
#include "libcommon/base/units.h"
#include "libcommon/net/company.h"
#include "libcommon/net/endpoint.h"
#include "libcommon/net/introduction.h"
#include "libcommon/net/keys.h"
#include "libcommon/net/node_event.h"
#include "libcommon/net/outside_ports.h"
#include "libcommon/net/path_report.h"
#include "libcommon/net/route.h"
#include "libcommon/net/ticket.h"
#include "libcommon/net/traffic.h"

namespace ptrain {
class RandomSource;
}
namespace ptrain::os {
class Loop;
}

namespace ptrain::net {

class Transport;

// Peers are found through relays; their keys are those that the run's members have registered.
struct Meeting {
  Ticket ticket;
  bool relayed = true;  // paths through a relay
  bool direct = true;   // paths to where a peer says that it can be dialled
  // Where we can be dialled from outside: a port that our router maps. Needs something to listen
  // at; this host's own addresses are added.
  std::vector<Endpoint> announced{};
  // What ptrain-punch map keeps says the same, and is read again when it changes; empty: there is
  // none.
  std::filesystem::path outside_file{};
  bool punch = true;                        // of direct paths, those through NATs
  std::vector<std::uint16_t> hole_ports{};  // from these ports; otherwise from any
  PathObserver observer{};                  // of what was tried; may be empty
};

struct NodeOptions {
  Introduction introduction;
  StageIndex self{};             // the place that we say is ours
  StageIndex counterpart{};      // the place of whom we do not know by another
  std::optional<KeyPair> key{};  // ours; without one, every endpoint must be local
  std::optional<Endpoint> listen{};
  // The hint of an error where a peer that we dial refuses our key: what would let us in.
  std::string when_refused{};
  std::uint8_t connections = 1;  // for bulk, to each peer that we dial: 1 to wire::kMaxConnections

  ByteCount credit_window{32u << 20};   // bytes a peer may send ahead, of each urgency
  ByteCount receive_limit{2ull << 30};  // of all peers together, besides the least window of each
  ByteCount message_limit{1u << 30};    // the largest message that a peer may send
  ByteCount queue_limit{2ull << 30};    // bytes that may wait for one peer
  // And for all of them, besides kQueueShare of each.
  ByteCount queues_limit{4ull << 30};
  ByteCount low_water{0};  // Room follows when what is queued for a peer falls to it
  std::optional<ByteCount> up_rate_bytes_per_s{};  // what we send to all of them together

  Duration appear_timeout = Duration::max();  // of a peer that is sought; Down(failed) follows
  Duration silence_timeout = std::chrono::seconds(30);    // connected, but nothing comes
  Duration reconnect_timeout = std::chrono::seconds(30);  // a session outlives its connections
  Duration outage_timeout = std::chrono::seconds(30);     // and where they had fallen silent before
  RouteKinds allowed_kinds = RouteKinds::all();           // over which we send
};

// So much may wait for a peer, whatever waits for the others.
inline constexpr std::uint64_t kQueueShare = 16u << 20;

// What is known of a peer.
struct PeerStatus {
  Session::State state = Session::State::waiting;
  std::optional<Error> failure;
  Loss loss = Loss::left;
  std::optional<Error> hopeless;  // it cannot be connected to, ever, in this configuration
  std::string last_attempt;       // why the last attempt to connect failed
  std::string obstacle;           // why it may work later, and does not now
  std::optional<Outage> outage;
  std::string last_path;  // of bulk; "tcp://10.0.0.2:7001"
  bool drained = false;
  std::uint64_t acknowledged_cost = 0;  // of all messages taken from the application
  Traffic traffic;

  bool lost() const {
    return failure || hopeless || state == Session::State::departed ||
           state == Session::State::failed;
  }
};

// What a node stands on.
struct NodeGround {
  os::Loop& loop;
  Transport& transport;
  RandomSource& random;
};

class Node {
 public:
  // Binds, where there is something to listen at. Throws Error(io) when the port is
  // in use, Error(usage) when an endpoint that leaves this machine has no key or a bound cannot be.
  // Who may come is `company`'s to say; none: nobody.
  Node(NodeOptions options, std::unique_ptr<Company> company, Log& log, const Clock& clock);
  // On the ground of a caller, whose loop is not run any more once the node has gone; as a process
  // that is killed, it says nothing then.
  Node(NodeOptions options, std::unique_ptr<Company> company, Log& log, NodeGround ground);
  // Tells the peers what when_abandoned_say() was given, or goodbye, unless close() was called.
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  void when_abandoned_say(std::string reason);
  // Begins to work: until then nobody is let in, so that those who are expected can be named. Once.
  void start();

  // What others dial: with the real port when 0 was asked for, and our key if we have one.
  // Precondition: there was something to listen at.
  Endpoint listening() const;

  // Begins to connect to a peer, and goes on; Up or Down follows. Throws Error(usage) when the
  // endpoint cannot be dialled, or leaves this machine without a key.
  void seek(const WorkerId& peer, const Endpoint& endpoint, StageIndex place, std::string name);
  // A peer that will come to us; `name` is what people call it.
  void expect(const WorkerId& peer, StageIndex place, std::string name);
  // Our company is met through the relays of a ticket, which know us by that role. Once.
  // Precondition: a key of ours, and a company.
  void meet(const Meeting& meeting, std::string role);

  // Says goodbye to it and forgets it; no event follows.
  void drop(const WorkerId& peer);
  // Tells it why, and forgets it; Down(refused) follows.
  void dismiss(const WorkerId& peer, std::string_view why);

  // Queues the message; false when the peer is not known, or lost, or too much waits for it.
  bool send(const WorkerId& to, wire::Urgency urgency, wire::Message message, Rank rank = 0);
  // Given to send() and not yet acknowledged; 0 of a peer that is not known.
  ByteCount queued(const WorkerId& peer) const;
  // nullopt of a peer that is not known.
  std::optional<PeerStatus> status(const WorkerId& peer) const;
  Traffic traffic(const WorkerId& peer) const;  // zeros of a peer that is not known

  // What has become known next; nullopt when nothing has in time. Throws only what ended the
  // node's thread.
  std::optional<NodeEvent> next(Duration timeout);
  // Waits until `done` holds of every peer, or the time is over; false if it is over.
  bool wait(Duration timeout, bool (*done)(const PeerStatus&)) const;

  // From now on strangers that claim a peer's place are turned away with a warning.
  void settle();
  // From now on we send over routes of these kinds only.
  void allow(RouteKinds kinds);

  // Says goodbye, with a reason if we failed; true when every peer has acknowledged all that was
  // sent, or has left, before `linger` was over. Once; later calls do nothing, but answer anew
  // where the loop is the caller's.
  bool close(Duration linger, std::string reason = "");

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// For peers to hear that we failed; they notice by themselves if they do not.
inline constexpr Duration kFailureLinger = std::chrono::milliseconds(500);

}  // namespace ptrain::net
