#include "tools/relay/neighbours/neighbour_link.h"

#include <utility>

namespace ptrain::relay {

NeighbourLink::NeighbourLink(zmq::context_t& context, net::TicketRelay neighbour, net::KeyPair own,
                             Mirror mirror)
    : neighbour_(std::move(neighbour)),
      link_(context, {.control = neighbour_.control,
                      .key = std::move(own),
                      .refused = "it does not admit this relay: does it name it as a neighbour?",
                      .garbled = "the handshake failed: is that its key?"}),
      mirror_(std::move(mirror)) {}

void NeighbourLink::process(TimePoint now, MirrorNews& news) {
  const bool was_connected = link_.connected();
  for (const net::Answer& answer : link_.process(now)) mirror_.take(answer, now, news);
  if (link_.connected() && !was_connected) mirror_.connected(now);
  if (link_.connected() && mirror_.overdue(now)) link_.hang_up(now, "it does not answer");
  if (!link_.connected()) mirror_.lost(news);
  mirror_.expire(now, news);
  while (link_.connected()) {
    const auto request = mirror_.next_request(now);
    if (!request) break;
    link_.send(*request);
  }
}

}  // namespace ptrain::relay
