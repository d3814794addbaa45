// The connection of one member to the control port of one relay: a socket below, a
// RelayMembership above.
//
// Goes on trying for as long as the object lives; every attempt uses a fresh socket, so that no
// request of an earlier one comes late. Network thread only.

#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <zmq.hpp>

#include "libcommon/net/connection_vigil.h"
#include "libcommon/net/endpoint.h"
#include "libcommon/net/host_lookup.h"
#include "libcommon/net/keys.h"
#include "libcommon/net/redial_pace.h"
#include "libcommon/net/relay_membership.h"
#include "libcommon/net/socket_monitor.h"

namespace ptrain::net {

struct RelayLinkOptions {
  Endpoint control;  // with the relay's key
  KeyPair key;       // ours
  MembershipOptions membership;
};

class RelayLink {
 public:
  RelayLink(zmq::context_t& context, RelayLinkOptions options);
  ~RelayLink();

  void add_poll_items(std::vector<zmq_pollitem_t>& items);
  // Reads, asks what is due, and says what has become known.
  std::vector<membership::Event> process(TimePoint now);
  TimePoint next_tick() const;

  void reintroduce(const Place& to, TimePoint now) { membership_.reintroduce(to, now); }
  void set_note(std::string note) { membership_.set_note(std::move(note)); }
  bool connected() const { return connected_; }
  // Why there is no connection; empty where nothing is known.
  const std::string& trouble() const { return trouble_; }

 private:
  struct Connection;
  void dial(TimePoint now);
  void hang_up(TimePoint now, std::string why);
  void take_monitor_events(TimePoint now);

  zmq::context_t& context_;
  RelayLinkOptions options_;
  RelayMembership membership_;
  std::unique_ptr<Connection> connection_;
  bool connected_ = false;
  RedialPace pace_;
  HostLookup host_;
  TimePoint look_up_again_{};  // while the host's address is not known
  ConnectionVigil vigil_;
  std::string trouble_;
};

}  // namespace ptrain::net
