// A connection to the control port of a relay, whoever asks: a member, or a neighbour relay.
//
// Goes on trying for as long as the object lives; every attempt uses a fresh socket, so that no
// request of an earlier one comes late. A connection whose other end acknowledges nothing any
// more is made anew. Network thread only.

#pragma once

#include <memory>
#include <string>
#include <vector>

#include <zmq.hpp>

#include "libcommon/net/connection_vigil.h"
#include "libcommon/net/endpoint.h"
#include "libcommon/net/host_lookup.h"
#include "libcommon/net/keys.h"
#include "libcommon/net/redial_pace.h"
#include "libcommon/net/relay_protocol.h"
#include "libcommon/net/socket_monitor.h"

namespace ptrain::net {

struct ControlLinkOptions {
  Endpoint control;          // with the relay's key
  KeyPair key;               // ours
  std::string refused = "";  // what it means that the relay refuses our key; empty: just that
};

class ControlLink {
 public:
  // `context` outlives the object.
  ControlLink(zmq::context_t& context, ControlLinkOptions options);
  ~ControlLink();

  void add_poll_items(std::vector<zmq_pollitem_t>& items);
  // The answers that have come. Between two calls a connection is made at most, or ends: of what
  // was asked over one that has ended, nothing more comes.
  std::vector<Answer> process(TimePoint now);
  TimePoint next_tick() const;

  // Precondition: connected().
  void send(const Request& request);
  // It is of no use any more, whatever it seems to be; another one is made.
  void hang_up(TimePoint now, std::string why);

  bool connected() const { return connected_; }
  // Why there is no connection; empty where nothing is known.
  const std::string& trouble() const { return trouble_; }
  // Whether that is our key, which the relay does not serve. It is asked again all the same.
  bool refuses_our_key() const { return refuses_our_key_; }

 private:
  struct Connection;
  void dial(TimePoint now);
  std::vector<Answer> take_answers();
  void take_monitor_events(TimePoint now);

  zmq::context_t& context_;
  ControlLinkOptions options_;
  std::unique_ptr<Connection> connection_;
  bool connected_ = false;
  RedialPace pace_;
  HostLookup host_;
  TimePoint look_up_again_{};  // while the host's address is not known
  ConnectionVigil vigil_;
  std::string trouble_;
  bool refuses_our_key_ = false;
};

}  // namespace ptrain::net
