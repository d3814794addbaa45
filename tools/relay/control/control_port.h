// The socket that peers speak to: reads requests from it, writes answers to it.
//
// A ROUTER with CURVE. What a stranger can make it hold is bounded: the size and parts of a
// message, the messages that wait on a connection in either direction, the time for a
// handshake, and the connections themselves (connection_watch.h). One thread, the one that
// made it.

#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <zmq.hpp>

#include "libcommon/base/clock.h"
#include "libcommon/base/log.h"
#include "libcommon/net/endpoint.h"
#include "libcommon/net/keys.h"
#include "libcommon/net/relay_codec.h"
#include "libcommon/net/warning_limiter.h"
#include "libcommon/net/zmq/zap.h"
#include "tools/relay/control/connection_watch.h"
#include "tools/relay/control/request_handler.h"

namespace ptrain::relay {

// Messages that wait on one connection, each way. Who does not read its answers loses them, and
// sees from the registry's version that it has.
inline constexpr int kSendQueueMessages = 64;
inline constexpr int kReceiveQueueMessages = 64;
// In the kernel, for each connection: requests are small, and answers at most 64 KiB.
inline constexpr int kReceiveBufferBytes = 32 << 10;
inline constexpr int kSendBufferBytes = 64 << 10;
inline constexpr Duration kHandshakeLimit = std::chrono::seconds(10);
inline constexpr int kRequestsPerRound = 256;  // then whatever else there is has its turn

struct ControlPortOptions {
  net::Endpoint listen;  // direct; port 0: any
  net::KeyPair key;
  ConnectionLimits connections{};
};

class ControlPort {
 public:
  // Binds. Throws Error(io) when it cannot. `rules`, `handler`, `log` and `clock` outlive it.
  ControlPort(ControlPortOptions options, const AccessRules& rules, RequestHandler& handler,
              Log& log, const Clock& clock);
  ~ControlPort();
  ControlPort(const ControlPort&) = delete;
  ControlPort& operator=(const ControlPort&) = delete;

  // With the port that it got, and our key.
  net::Endpoint listening() const;

  void add_poll_items(std::vector<net::PollItem>& items);
  // What has come, and what it leads to; a bounded part of it at a time.
  void process();
  void send(const std::vector<Outgoing>& answers);
  const ConnectionWatch& connections() const { return watch_; }
  // Answers that nobody took.
  std::uint64_t dropped() const { return dropped_; }
  // How long what was sent may still leave after the end.
  void set_linger(Duration linger);

 private:
  class Gate;

  void take(std::vector<zmq::message_t> parts, bool too_many);
  std::vector<Outgoing> answers(const Sender& sender, const std::vector<zmq::message_t>& parts,
                                bool too_many, TimePoint now);
  void send(const ConnectionId& to, std::span<const std::byte> bytes);
  void refuse_version(const Sender& sender, const net::ForeignRequest& request, TimePoint now);

  ControlPortOptions options_;
  RequestHandler& handler_;
  const Clock& clock_;
  net::WarningLimiter warnings_;
  std::unique_ptr<Gate> gate_;
  zmq::context_t context_;
  net::ZapHandler zap_;
  zmq::socket_t router_;
  ConnectionWatch watch_;
  std::uint64_t dropped_ = 0;
};

}  // namespace ptrain::relay
