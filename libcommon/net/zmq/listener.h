// Direct paths, the side that waits: one bound ROUTER socket for all connections of all peers.
//
// libzmq numbers each connection itself, so nobody can claim another's routing
// id. A connection becomes a path when its first frame is a hello and the
// Admission says whose; every later frame of it must come with the same key.
// Anything else is dropped and reported, and where the Admission wants it,
// answered. A path is lost with its connection, once all that came over it has been read.
// Network thread only.

#pragma once

#include <optional>
#include <set>
#include <string>
#include <unordered_map>

#include <zmq.hpp>

#include "libcommon/net/transport.h"
#include "libcommon/net/zmq/connection_guard.h"
#include "libcommon/net/zmq/socket_monitor.h"

namespace ptrain::net {

// Connections of one peer at a time: all that it may want, and once as many of which the end has
// not been noticed.
inline constexpr std::size_t kMaxConnectionsOfPeer = 2 * (1 + wire::kMaxConnections);

class Listener final : public PathSource {
 public:
  // Binds to `host`, or to the endpoint's where that is empty. Throws Error(io) when that cannot
  // be. `admission` outlives the object.
  Listener(zmq::context_t& context, ListenerOptions options, const std::string& host,
           Admission& admission);
  ~Listener() override;

  Endpoint bound() const;
  void add_poll_items(std::vector<PollItem>& items) override;
  void process(PathSink& sink, TimePoint now) override;
  // At once while a path waits for what came over it to be read.
  TimePoint next_tick() const override {
    return closed_.empty() ? guard_.next_tick() : TimePoint{};
  }
  void close(LinkId id, TimePoint now) override;

 private:
  class AcceptedPath;
  void follow_connections(PathSink& sink, TimePoint now);
  void lose_closed(PathSink& sink);
  void take(PathSink& sink, Parts message, TimePoint now);
  std::size_t paths_of(PeerHandle peer) const;
  void refuse(PathSink& sink, const std::string& routing_id, const std::string& caller,
              const Rejection& refusal);

  ListenerOptions options_;
  Admission& admission_;
  zmq::socket_t router_;
  SocketMonitor monitor_;
  std::string other_key_;  // what else it may be, where a handshake fails
  ConnectionGuard guard_;
  std::unordered_map<std::string, std::unique_ptr<AcceptedPath>> paths_;  // by routing id
  std::set<LinkId> closed_;  // of those: there is nothing more to come than what waits to be read
};

}  // namespace ptrain::net
