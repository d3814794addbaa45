// The connection to one neighbour's control port: a ControlLink below, a Mirror above. The relay's
// thread only.

#pragma once

#include <string>
#include <vector>

#include "libcommon/net/relay_word.h"
#include "libcommon/net/zmq/zmq_control_link.h"
#include "tools/relay/neighbours/mirror.h"

namespace ptrain::relay {

class NeighbourLink {
 public:
  // `own` is the key that the neighbour knows us by. `context` outlives the object.
  NeighbourLink(zmq::context_t& context, net::TicketRelay neighbour, const net::KeyPair& own,
                Mirror mirror);

  void add_poll_items(std::vector<net::PollItem>& items) { link_.add_poll_items(items); }
  // Reads, asks what is due, and says what has come of it.
  void process(TimePoint now, MirrorNews& news);

  const net::TicketRelay& neighbour() const { return neighbour_; }
  Mirror& mirror() { return mirror_; }
  const Mirror& mirror() const { return mirror_; }
  // Why it does not tell us of its members; empty where nothing is known.
  const std::string& trouble() const {
    return link_.trouble().empty() ? mirror_.trouble() : link_.trouble();
  }

 private:
  net::TicketRelay neighbour_;
  net::ZmqControlLink link_;
  Mirror mirror_;
};

}  // namespace ptrain::relay
