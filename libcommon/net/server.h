// One endpoint that peers come to which it has not heard of before, and leave again.
//
// A peer is introduced by its first connection and keeps its session while connections
// break and are made again (ptrain-net(7)). A Server owns one network thread; every public
// function may be called from any thread. Messages arrive exactly once and in order per
// peer and channel.
//
// Nothing a peer does is an error here: it is refused, or lost, and reported as a value.
// The memory that one costs is bounded by the credit window and by what is sent to it: who
// sends large answers looks at queued() first.

#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "libcommon/base/clock.h"
#include "libcommon/base/log.h"
#include "libcommon/base/units.h"
#include "libcommon/net/endpoint.h"
#include "libcommon/net/guest_admission.h"
#include "libcommon/net/keys.h"
#include "libcommon/net/peer_event.h"
#include "libcommon/net/traffic.h"

namespace ptrain::net {

struct ServerOptions {
  Endpoint listen;
  // Ours. With a key the server speaks CURVE; without one, `listen` must be local.
  std::optional<KeyPair> key;
  GuestRules guests;

  ByteCount credit_window{4u << 20};   // bytes a peer may send ahead of receive(), a channel
  ByteCount message_limit{64u << 10};  // the largest message that a peer may send
  ByteCount low_water{4u << 20};       // receive() returns when a peer's queue falls below
  Duration silence_timeout = std::chrono::seconds(30);
  Duration reconnect_timeout = std::chrono::seconds(30);  // a session outlives its connections
};

// Sessions of one server at most, whatever its rules say.
inline constexpr std::size_t kMaxServerGuests = 1024;

class Server {
 public:
  // Binds and starts. Throws Error(io) when the port is in use, Error(usage) when an endpoint
  // that leaves this machine has no key, or a bound cannot be.
  Server(ServerOptions options, Log& log, const Clock& clock);
  // Tells the peers that it ends.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // What others dial: with the real port when 0 was asked for, and our key if we have one.
  Endpoint listening() const;

  // What has become known next; nullopt when the time is over, and when a queue that was
  // above low_water has fallen below it. Throws only what ended the network thread.
  std::optional<PeerEvent> receive(Duration timeout);

  // Queues the message; false when the peer is gone.
  bool send(PeerHandle to, wire::Message message);
  // Given to send() and not yet acknowledged; 0 when the peer is gone.
  ByteCount queued(PeerHandle peer) const;
  Traffic traffic(PeerHandle peer) const;  // zeros when the peer is gone

  // Tells the peer why and forgets it; PeerLost follows.
  void dismiss(PeerHandle peer, std::string_view why);

  // Says goodbye; true when every peer has acknowledged all that was sent, or has left.
  bool close(Duration linger);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ptrain::net
