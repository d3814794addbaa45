// One request at a time to a relay's control port, each with a deadline. One thread.
//
// That no relay is there, or that it does not serve our key, is known at once or within
// kConnectTimeout, which a person waits for; a relay that is there may take longer to answer.

#pragma once

#include <cstdint>
#include <string>

#include <zmq.hpp>

#include "libcommon/base/clock.h"
#include "libcommon/base/error.h"
#include "libcommon/net/endpoint.h"
#include "libcommon/net/keys.h"
#include "libcommon/net/relay_protocol.h"
#include "libcommon/net/zmq/socket_monitor.h"

namespace ptrain::relay {

inline constexpr Duration kConnectTimeout = std::chrono::seconds(2);
inline constexpr Duration kInquiryTimeout = std::chrono::seconds(10);
// A handshake takes so many times what it took to reach the host, and some patience.
inline constexpr int kHandshakeRoundTrips = 8;

class Inquiry {
 public:
  // Connects in the background. `relay` has its key.
  Inquiry(const net::Endpoint& relay, const net::KeyPair& key);

  const std::string& relay() const { return name_; }  // for messages

  // The answer to it, which may be a refusal. Throws Error(unavailable) when nobody is there, or
  // there is no answer in time, Error(permission) when the relay does not serve our key,
  // Error(usage) when it speaks another version of the protocol.
  net::Answer ask(decltype(net::Request::body) body);

 private:
  void connect();
  void await_connection();
  Error absence(const std::string& why) const;
  Error refusal() const;

  net::Endpoint relay_;
  std::string name_;
  net::PublicKey own_key_;
  SteadyClock clock_;
  zmq::context_t context_;
  zmq::socket_t socket_;
  net::SocketMonitor monitor_;
  bool connected_ = false;
  std::uint64_t last_id_ = 0;
};

}  // namespace ptrain::relay
