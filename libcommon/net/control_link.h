// A connection to the control port of a relay, whoever asks: a member, or a neighbour relay.
//
// Goes on trying for as long as the object lives. A connection whose other end acknowledges nothing
// any more is made anew. Network thread only.

#pragma once

#include <string>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/net/poll_item.h"
#include "libcommon/net/relay_protocol.h"

namespace ptrain::net {

class ControlLink {
 public:
  virtual ~ControlLink() = default;

  virtual void add_poll_items(std::vector<PollItem>& items) = 0;
  // The answers that have come. Between two calls a connection is made at most, or ends: of what
  // was asked over one that has ended, nothing more comes.
  virtual std::vector<Answer> process(TimePoint now) = 0;
  virtual TimePoint next_tick() const = 0;

  // Precondition: connected().
  virtual void send(const Request& request) = 0;
  // It is of no use any more, whatever it seems to be; another one is made.
  virtual void hang_up(TimePoint now, std::string why) = 0;

  virtual bool connected() const = 0;
  // Why there is no connection; empty where nothing is known.
  virtual const std::string& trouble() const = 0;
  // Whether that is our key, which the relay does not serve. It is asked again all the same.
  virtual bool refuses_our_key() const = 0;
};

}  // namespace ptrain::net
