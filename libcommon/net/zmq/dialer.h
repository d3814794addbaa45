// Direct paths, the side that connects: one connection to one peer at a time.
//
// Every attempt uses a fresh DEALER socket, so that nothing queued for an old
// connection can precede the hello of a new one; libzmq's own reconnection never
// gets its turn, ours backs off from 20 ms to one second. A connection whose other
// end acknowledges nothing any more is given up within about two seconds, and made
// anew: TCP would go on with it late. Network thread only.

#pragma once

#include <memory>
#include <optional>
#include <string>

#include <zmq.hpp>

#include "libcommon/net/host_lookup.h"
#include "libcommon/net/redial_pace.h"
#include "libcommon/net/transport.h"
#include "libcommon/net/zmq/connection_guard.h"
#include "libcommon/net/zmq/connection_vigil.h"
#include "libcommon/net/zmq/socket_monitor.h"

namespace ptrain::net {

class Dialer final : public PathSource {
 public:
  Dialer(zmq::context_t& context, DialerOptions options);
  ~Dialer() override;

  void add_poll_items(std::vector<PollItem>& items) override;
  void process(PathSink& sink, TimePoint now) override;
  TimePoint next_tick() const override;
  void close(LinkId id, TimePoint now) override;

 private:
  class DialedPath;
  void dial(PathSink& sink, TimePoint now);
  void hang_up(TimePoint now);
  bool take_events(PathSink& sink, TimePoint now);  // whether the connection is still there
  void take_frames(PathSink& sink, int limit);
  void lose(PathSink& sink, TimePoint now);

  zmq::context_t& context_;
  DialerOptions options_;
  std::uint64_t connections_ = 0;
  std::unique_ptr<DialedPath> path_;  // while an attempt or a connection exists
  bool opened_ = false;
  RedialPace pace_;
  HostLookup host_;
  TimePoint look_up_again_{};  // while the host's address is not known
  ConnectionVigil vigil_;
};

}  // namespace ptrain::net
