// Who may connect: the ZAP handler (ZeroMQ RFC 27) of one context.
//
// Lets the listener's Admission decide by the public key of a CURVE client, and gives the
// connections that it admits that key, in hexadecimal, as User-Id. Network thread only.
// Must be made before the listener that relies on it.

#pragma once

#include <functional>
#include <string>
#include <vector>

#include <zmq.hpp>

#include "libcommon/net/admission.h"
#include "libcommon/net/poll_item.h"

namespace ptrain::net {

class ZapHandler {
 public:
  // `admission` outlives the object.
  ZapHandler(zmq::context_t& context, const Admission& admission);

  void add_poll_items(std::vector<PollItem>& items);
  // `refused` is given each attempt that was turned away.
  void process(const std::function<void(const std::string&)>& refused);

 private:
  zmq::socket_t socket_;
  const Admission& admission_;
};

}  // namespace ptrain::net
