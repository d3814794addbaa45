#include "tools/relay/outside_word.h"

namespace ptrain::relay {

Reached reached_outside(const Reached& inside, const std::vector<net::OutsidePort>& ports,
                        bool host_is_named) {
  Reached outside = inside;
  const auto tcp = [&](std::uint16_t port) { return net::find_outside(ports, "tcp", port); };
  if (const auto* control = tcp(inside.relay.control.port)) {
    outside.relay.control.port = control->outside;
    if (!host_is_named) outside.relay.control.host = control->host;
  } else {
    outside.unmapped.push_back(inside.relay.control.port);
  }
  if (const auto* data = tcp(inside.relay.data_port)) {
    outside.relay.data_port = data->outside;
  } else {
    outside.unmapped.push_back(inside.relay.data_port);
  }
  if (!inside.echo) return outside;
  const auto* first = tcp((*inside.echo)[0]);
  const auto* second = tcp((*inside.echo)[1]);
  outside.echo.reset();
  if (first != nullptr && second != nullptr) outside.echo = {first->outside, second->outside};
  return outside;
}

}  // namespace ptrain::relay
