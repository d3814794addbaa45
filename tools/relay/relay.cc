#include "tools/relay/relay.h"

#include <cerrno>
#include <utility>
#include <vector>

#include "libcommon/base/error.h"
#include "libcommon/net/zmq_parts.h"

namespace ptrain::relay {

Relay::Relay(RelayOptions options, TokenDesk& desk, Log& log, const Clock& clock)
    : options_(std::move(options)),
      desk_(desk),
      log_(log),
      clock_(clock),
      rules_(options_.read_access()),
      registry_(options_.limits, options_.first_version),
      handler_({.relay_key = options_.key.public_key(), .observer = options_.observer}, registry_,
               desk, rules_, clock.now()),
      port_({.listen = options_.listen, .key = options_.key}, rules_, handler_, log, clock) {}

void Relay::run(const std::function<bool()>& stop, const std::function<bool()>& reload) {
  while (!stop()) {
    wait();
    if (reload()) reload_rules();
    port_.process();
    port_.send(handler_.replace_spent(clock_.now()));
    port_.send(handler_.expire(clock_.now()));
  }
  port_.set_linger(kFarewellLinger);
  port_.send(handler_.farewell());
}

void Relay::wait() {
  std::vector<zmq_pollitem_t> items;
  port_.add_poll_items(items);
  items.push_back({nullptr, desk_.spent_fd(), ZMQ_POLLIN, 0});
  const int ready =
      zmq_poll(items.data(), static_cast<int>(items.size()), net::milliseconds(kTick));
  if (ready < 0 && errno != EINTR) throw io_error("wait for requests", errno);
}

void Relay::reload_rules() {
  try {
    rules_ = options_.read_access();
  } catch (const Error& error) {
    return log_.warning(std::string("the rules stay as they were: ") + error.what());
  }
  log_.info("the rules were read again");
  port_.send(handler_.enforce());
}

}  // namespace ptrain::relay
