// The connection to one neighbour's control port: a socket below, a Mirror above.
//
// Goes on trying for as long as the object lives; every attempt uses a fresh socket, so that no
// request of an earlier one comes late. The relay's thread only.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <zmq.hpp>

#include "libcommon/net/keys.h"
#include "libcommon/net/relay_word.h"
#include "tools/relay/neighbours/mirror.h"

namespace ptrain::relay {

class NeighbourLink {
 public:
  // `own` is the key that the neighbour knows us by. `context` outlives the object.
  NeighbourLink(zmq::context_t& context, net::TicketRelay neighbour, net::KeyPair own,
                Mirror mirror);
  ~NeighbourLink();

  void add_poll_items(std::vector<zmq_pollitem_t>& items);
  // Reads, asks what is due, and says what has come of it.
  void process(TimePoint now, MirrorNews& news);

  const net::TicketRelay& neighbour() const { return neighbour_; }
  Mirror& mirror() { return mirror_; }
  const Mirror& mirror() const { return mirror_; }
  // Why it does not tell us of its members; empty where nothing is known.
  const std::string& trouble() const { return trouble_.empty() ? mirror_.trouble() : trouble_; }

 private:
  struct Connection;
  void dial(TimePoint now);
  void hang_up(TimePoint now, std::string why, MirrorNews& news);
  void take_monitor_events(TimePoint now, MirrorNews& news);
  void take_answers(TimePoint now, MirrorNews& news);

  zmq::context_t& context_;
  net::TicketRelay neighbour_;
  net::KeyPair own_;
  Mirror mirror_;
  std::unique_ptr<Connection> connection_;
  bool connected_ = false;
  TimePoint retry_at_{};
  TimePoint attempt_ends_{};
  Duration backoff_;
  std::string trouble_;
};

}  // namespace ptrain::relay
