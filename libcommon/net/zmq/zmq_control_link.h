// A connection to the control port of a relay, of libzmq: every attempt uses a fresh socket, so
// that no request of an earlier one comes late. Network thread only.

#pragma once

#include <memory>
#include <string>
#include <vector>

#include <zmq.hpp>

#include "libcommon/net/host_lookup.h"
#include "libcommon/net/redial_pace.h"
#include "libcommon/net/transport.h"
#include "libcommon/net/zmq/connection_vigil.h"
#include "libcommon/net/zmq/socket_monitor.h"

namespace ptrain::net {

class ZmqControlLink final : public ControlLink {
 public:
  // `context` outlives the object.
  ZmqControlLink(zmq::context_t& context, ControlLinkOptions options);
  ~ZmqControlLink() override;

  void add_poll_items(std::vector<PollItem>& items) override;
  std::vector<Answer> process(TimePoint now) override;
  TimePoint next_tick() const override;
  void send(const Request& request) override;
  void hang_up(TimePoint now, std::string why) override;
  bool connected() const override { return connected_; }
  const std::string& trouble() const override { return trouble_; }
  bool refuses_our_key() const override { return refuses_our_key_; }

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
