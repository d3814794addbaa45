// Direct paths, the side that connects: one channel to one peer.
//
// Every attempt uses a fresh DEALER socket, so that nothing queued for an old
// connection can precede the hello of a new one; libzmq's own reconnection never
// gets its turn, ours backs off from 20 ms to one second. Network thread only.

#pragma once

#include <memory>
#include <optional>
#include <string>

#include <zmq.hpp>

#include "libcommon/base/units.h"
#include "libcommon/net/endpoint.h"
#include "libcommon/net/keys.h"
#include "libcommon/net/path.h"
#include "libcommon/net/socket_monitor.h"

namespace ptrain::net {

inline constexpr Duration kFirstRetry = std::chrono::milliseconds(20);
inline constexpr Duration kLastRetry = std::chrono::seconds(1);
// For name, connection and handshake together; a lost SYN is repeated after one second.
inline constexpr Duration kAttemptTimeout = std::chrono::seconds(5);

struct DialerOptions {
  PeerHandle peer;
  wire::Channel channel = wire::Channel::control;
  Endpoint endpoint;
  Route route{};
  std::optional<KeyPair> key;  // ours; CURVE is spoken when the endpoint has a key
  Duration last_retry = kLastRetry;
};

class Dialer final : public PathSource {
 public:
  Dialer(zmq::context_t& context, DialerOptions options);
  ~Dialer() override;

  void add_poll_items(std::vector<zmq_pollitem_t>& items) override;
  void process(PathSink& sink, TimePoint now) override;
  TimePoint next_tick() const override;
  void close(PathId id, TimePoint now) override;
  void set_linger(Duration linger) override;

 private:
  class DialedPath;
  void dial(TimePoint now);
  void hang_up(TimePoint now);
  bool take_events(PathSink& sink, TimePoint now);  // whether the connection is still there
  void take_frames(PathSink& sink, int limit);
  void lose(PathSink& sink, TimePoint now);

  zmq::context_t& context_;
  DialerOptions options_;
  std::unique_ptr<DialedPath> path_;  // while an attempt or a connection exists
  bool opened_ = false;
  TimePoint retry_at_{};
  TimePoint attempt_ends_{};
  Duration backoff_ = kFirstRetry;
};

}  // namespace ptrain::net
