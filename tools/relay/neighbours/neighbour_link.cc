#include "tools/relay/neighbours/neighbour_link.h"

#include <utility>

#include <fmt/format.h>

namespace ptrain::relay {
namespace {

std::string when_refused(const net::PublicKey& own) {
  return fmt::format(
      "it does not admit this relay, whose key is {}: its --neighbour or "
      "--neighbour-file must name it",
      net::to_hex(own));
}

}  // namespace

NeighbourLink::NeighbourLink(zmq::context_t& context, net::TicketRelay neighbour,
                             const net::KeyPair& own, Mirror mirror)
    : neighbour_(std::move(neighbour)),
      link_(context,
            {.control = neighbour_.control, .key = own, .refused = when_refused(own.public_key())}),
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
