// Sessions with servers that were named: dialled, kept over broken connections, ended.
//
// A Client listens nowhere. It owns one network thread; every public function may be called
// from any thread. What becomes of a session is reported as an event, never thrown, since
// who talks to several servers goes on with the others.

#pragma once

#include <memory>
#include <optional>
#include <string>

#include "libcommon/base/clock.h"
#include "libcommon/base/log.h"
#include "libcommon/base/units.h"
#include "libcommon/net/endpoint.h"
#include "libcommon/net/introduction.h"
#include "libcommon/net/keys.h"
#include "libcommon/net/peer_event.h"
#include "libcommon/net/traffic.h"

namespace ptrain::net {

struct ClientOptions {
  Introduction introduction;
  std::optional<KeyPair> key;  // ours; without one only local endpoints can be dialled

  std::uint8_t connections = 1;  // for bulk, to each server: 1 to wire::kMaxStrands (bundle.h)
  ByteCount credit_window{32u << 20};   // bytes a server may send ahead of receive(), a channel
  ByteCount message_limit{128u << 20};  // the largest message that a server may send
  Duration connect_timeout = std::chrono::seconds(30);    // for a server to appear
  Duration silence_timeout = std::chrono::seconds(30);    // connected, but nothing comes
  Duration reconnect_timeout = std::chrono::seconds(30);  // a session outlives its connections
};

class Client {
 public:
  Client(ClientOptions options, Log& log, const Clock& clock);
  // Says goodbye.
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Begins a session; PeerJoined or PeerLost follows. Throws Error(usage) when the endpoint
  // cannot be dialled, or leaves this machine without a key.
  PeerHandle dial(const Endpoint& server);
  // Says goodbye; no event follows.
  void hang_up(PeerHandle server);

  // What has become known next; nullopt when none came in time. Throws only what ended the
  // network thread.
  std::optional<PeerEvent> receive(Duration timeout);
  // Queues the message; false when the server is gone.
  bool send(PeerHandle to, wire::Message message);
  Traffic traffic(PeerHandle server) const;  // zeros when it is gone

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ptrain::net
