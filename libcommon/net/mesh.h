// The sessions of one process of a job with those that it talks to. They are numbered, and called
// stages here: in most jobs a process holds one, and its number is the stage's. Where several hold
// one, MeshOptions says what they are called and in whose name each may speak.
//
// Of two stages the one with the lower index listens and the higher dials; or they meet through
// the relays of a ticket (net/rendezvous.h), and nobody needs to be dialled. A thin layer over a
// Node, in the words of stages; every public function may be called from any thread.
// Messages arrive exactly once and in order per peer and channel, whatever happens to the
// connections underneath.
//
// Nothing here waits for the network except await_peers, receive and close, each
// of them bounded. A peer that is lost is reported by receive and send as an
// Error(unavailable) that names it; a Mesh that is destroyed without close()
// tells its peers that this stage failed, so that they need not wait to find out.

#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/base/units.h"
#include "libcommon/net/endpoint.h"
#include "libcommon/net/introduction.h"
#include "libcommon/net/keys.h"
#include "libcommon/net/node.h"
#include "libcommon/net/route.h"
#include "libcommon/net/traffic.h"
#include "libcommon/wire/message.h"

namespace ptrain::net {

struct Peer {
  StageIndex stage;
  // Where a lower stage is dialled. Of a higher stage only the key is used, to admit it. With a
  // meeting, nothing.
  Endpoint endpoint{};
};

std::string default_name(StageIndex stage);
bool is_source(StageIndex stage, const wire::MessageName& name);

struct MeshOptions {
  StageIndex self;
  std::optional<Endpoint> listen;  // needed where a peer dials us and there is no meeting
  std::optional<Meeting> meeting{};
  std::vector<Peer> peers;
  // For people, "stage 1".
  std::function<std::string(StageIndex)> called = default_name;
  // Whether it may send a message of that name.
  std::function<bool(StageIndex, const wire::MessageName&)> speaks_for = is_source;
  Introduction introduction;
  // Ours. With a key the listener speaks CURVE and admits only the keys of `peers`; without
  // one, every endpoint must be local.
  std::optional<KeyPair> key;

  Duration connect_timeout = std::chrono::seconds(60);  // for all peers to be introduced
  // Nothing comes, though we are connected or the host of a peer that we dial answers.
  Duration silence_timeout = std::chrono::seconds(30);
  Duration reconnect_timeout = std::chrono::seconds(5);  // not connected: dead, not flapping
  Duration outage_timeout = std::chrono::seconds(300);   // not connected, and silent before

  RouteKinds allowed_kinds = RouteKinds::all();  // over which we send
  // For bulk, to the peers that we dial, 1 to wire::kMaxConnections.
  std::uint8_t connections = 1;

  ByteCount credit_window{32u << 20};   // bytes a peer may send ahead of our receive(), a channel
  ByteCount queue_limit{2ull << 30};    // bytes that send() may have waiting for one peer
  ByteCount queues_limit{4ull << 30};   // and for all (NodeOptions::queues_limit)
  ByteCount low_water{0};               // MeshRoom follows when what is queued falls to it
  ByteCount message_limit{1ull << 30};  // the largest message, either way
  std::optional<ByteCount> up_rate_bytes_per_s{};  // what we send to all of them together
};

// A peer that no link leads to.
struct LostLink {
  StageIndex stage;
  std::string called;
  std::string path;  // the last there was: "tcp://10.0.0.2:7001"
  TimePoint since;   // it is tried since then
  TimePoint ends;    // and given up then
  bool given_up = false;
};

// A message of that stage, and what it takes of its credit until it is consumed.
struct MeshDelivery {
  StageIndex from;
  wire::Message message;
  Credit credit;
};

// Nothing more comes of that stage: it said goodbye, or it is lost, with the reason.
struct MeshLoss {
  StageIndex stage;
  std::optional<Error> error;
};

// What is queued for that stage has fallen to MeshOptions::low_water.
struct MeshRoom {
  StageIndex stage;
};

using MeshEvent = std::variant<MeshDelivery, MeshLoss, MeshRoom>;

class Mesh {
 public:
  // Binds and starts. Throws Error(io) when the port is in use, Error(usage) when an
  // endpoint that leaves this machine has no key or is of a kind that cannot be dialled.
  Mesh(MeshOptions options, Log& log, const Clock& clock);
  // On a ground of the caller's (node.h), whose time `clock` shows: then nothing here waits.
  Mesh(MeshOptions options, Log& log, const Clock& clock, NodeGround ground);
  ~Mesh();
  Mesh(const Mesh&) = delete;
  Mesh& operator=(const Mesh&) = delete;

  // What others dial: with the real port when 0 was asked for, and our key if we have one.
  // Precondition: there was something to listen at.
  Endpoint listening() const;

  // Returns when every peer is introduced, or when stop() says so (asked every 100 ms).
  // Throws Error(unavailable) that names who did not appear where within which time;
  // Error(usage) when a peer belongs to another job, run or version, or two processes claim
  // the same stage; Error(permission) when a peer refuses our key.
  void await_peers(const std::function<bool()>& stop = [] { return false; });

  // Whether every peer is introduced now. Throws what await_peers throws, but for who is absent.
  bool peers_are_here();

  // Who of them is not introduced so far, and what is known about why; empty: all are.
  std::string missing() const;

  // Queues the message. Throws Error(unavailable) when the peer is lost or has left or its
  // queue is full, Error(internal) when the message breaks a limit or `to` is no peer.
  void send(StageIndex to, wire::Message message);

  // What has become known next, nullopt when nothing has in time: messages, control before bulk,
  // and that a peer is gone, after all that it sent. A message in another stage's name ends the
  // session with who sent it: it is lost with Error(corrupt).
  std::optional<MeshEvent> next(Duration timeout);

  // The next message from any peer; nullopt when none came in time.
  // What arrived before a peer was lost is delivered first, then Error(unavailable) thrown.
  std::optional<wire::Message> receive(Duration timeout);

  // Given to send() and not yet acknowledged.
  ByteCount queued(StageIndex to) const;
  Traffic traffic(StageIndex peer) const;

  std::vector<LostLink> lost_links() const;

  // From now on we send over paths of these kinds only.
  void allow(RouteKinds kinds);

  // Whether the peer said goodbye: it will send nothing more and needs nothing more.
  bool departed(StageIndex peer) const;

  // Says goodbye and returns when every peer has acknowledged all that was sent, or has
  // left, or `linger` is over. True when nothing was left unacknowledged.
  bool close(Duration linger);

  // Tells the peers that this stage has failed and why; their receive() throws it.
  void fail(std::string_view why);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ptrain::net
